#include "tests/unit/explorer/strategies/toy_machine.h"

#include <algorithm>
#include <set>

namespace heddle {
namespace {

using Kind = ToyOperation::Kind;

constexpr uint64_t kLongestRun = 5'000'000;  // of time

class ToyMachine {
 public:
  ToyMachine(const ToyProgram& program, Strategy& strategy, const FollowSchedule* following)
      : program_(program),
        strategy_(strategy),
        following_(following),
        tasks_(program.tasks.size()) {
    for (TaskId task = 1; task <= tasks_.size(); ++task) {
      tasks_[task - 1].id = task;
      ready_.push_back(task);
    }
    situation_.why = DecisionPoint::syscall;
  }

  ToyOutcome run(uint64_t most_decisions) {
    TaskId current = 1;
    situation_.at = place(tasks_[0]);
    while (finished_ < tasks_.size()) {
      if (!find_runnable(current)) return ended(ToyOutcome::End::deadlock);
      if (outcome_.steps.size() == most_decisions || now_ > kLongestRun)
        return ended(ToyOutcome::End::too_long);
      const Decision decision = strategy_.decide(situation_);
      if (std::ranges::count(runnable_, decision.next) == 0)
        return ended(ToyOutcome::End::not_runnable);
      note(decision);
      current = decision.next;
      Task& task = tasks_[current - 1];
      if (std::ranges::count(ready_, current) == 0) pass_time(task.wakes_at - now_);
      execute(task, decision.ticks);
    }
    return ended(ToyOutcome::End::finished);
  }

 private:
  struct Task {
    TaskId id = 0;
    size_t next = 0;  // operation
    uint8_t phase = 0;
    bool in_front = false;  // stopped at the access point that it is at
    bool woken = false;     // its wait is over
    Ticks ticks = 0;
    uint64_t worked = 0;  // of the work operation that it is at
    uint64_t accumulator = 0;
    uint64_t loaded = 0;    // by the first half of an update
    uint64_t wakes_at = 0;  // asleep until then; 0: not
  };

  const std::vector<ToyOperation>& code(const Task& task) const {
    return program_.functions[program_.tasks[task.id - 1]];
  }
  Place place(const Task& task) const {
    return {task.id, task.ticks, ToyProgram::pc(program_.tasks[task.id - 1], task.next),
            task.phase};
  }
  ToyOutcome ended(ToyOutcome::End end) {
    outcome_.end = end;
    return std::move(outcome_);
  }

  bool find_runnable(TaskId current) {
    if (ready_.empty()) {
      const Task* first = nullptr;
      for (const Task& task : tasks_)
        if (task.wakes_at != 0 && (!first || task.wakes_at < first->wakes_at)) first = &task;
      if (!first) return false;
      pass_time(first->wakes_at - now_);
    }
    runnable_ = ready_;
    std::vector<const Task*> sleepers;
    for (const Task& task : tasks_)
      if (task.wakes_at != 0) sleepers.push_back(&task);
    std::ranges::stable_sort(sleepers, {}, &Task::wakes_at);
    for (const Task* task : sleepers) runnable_.push_back(task->id);
    situation_.current_runnable = std::ranges::count(ready_, current) > 0;
    situation_.runnable = runnable_;
    situation_.ready = ready_.size();
    situation_.standard = situation_.current_runnable ? current : runnable_.front();
    return true;
  }

  void note(const Decision& decision) {
    outcome_.steps.push_back({situation_.why, situation_.at, decision, ready_.size(),
                              std::ranges::count(ready_, decision.next) == 0});
    if (decision.next != situation_.standard)
      outcome_.schedule.steps.push_back({situation_.at, decision.next, 0});
  }

  void stop(const Task& task, DecisionPoint why) {
    situation_ = {};
    situation_.why = why;
    situation_.at = place(task);
  }

  void stop_at_access(Task& task, const ToyOperation& operation) {
    stop(task, DecisionPoint::access);
    situation_.address = ToyProgram::address(operation.object);
    situation_.size = 4;
    situation_.writes = operation.kind != Kind::load;
    task.in_front = true;
  }

  void make_ready(Task& task) {
    task.wakes_at = 0;
    task.woken = true;
    ready_.push_back(task.id);
  }

  void pass_time(uint64_t time) {
    now_ += time;
    if (now_ < first_wake_) return;
    first_wake_ = ~uint64_t{0};
    for (Task& task : tasks_) {
      if (task.wakes_at != 0 && task.wakes_at <= now_) make_ready(task);
      if (task.wakes_at != 0) first_wake_ = std::min(first_wake_, task.wakes_at);
    }
  }

  void tick(Task& task) {
    ++task.ticks;
    pass_time(1);
  }

  void block(Task& task) {
    std::erase(ready_, task.id);
    stop(task, DecisionPoint::blocked);
    situation_.at.phase = 2;
  }

  void perform(Task& task, const ToyOperation& operation) {
    uint64_t& variable = outcome_.variables[operation.object];
    if (operation.kind == Kind::update && task.phase == 0) {
      task.loaded = variable;
      task.phase = 1;
      return;
    }
    if (operation.kind == Kind::load) task.accumulator = variable;
    if (operation.kind == Kind::store) variable = task.accumulator + operation.amount;
    if (operation.kind == Kind::update) variable = task.loaded + operation.amount;
    outcome_.accesses.emplace_back(task.id, place(task).pc);
    task.phase = 0;
    ++task.next;
  }

  bool wanted(const Task& task) const {
    const ScheduleStep* step = following_ ? following_->next_step() : nullptr;
    return step && step->at == place(task);
  }

  // Until a decision is due.
  void execute(Task& task, Ticks budget) {
    const Ticks end = task.ticks + std::max<Ticks>(budget, 1);
    while (true) {
      if (task.next == code(task).size()) {
        ++finished_;
        block(task);
        return;
      }
      const ToyOperation& operation = code(task)[task.next];
      switch (operation.kind) {
        case Kind::load:
        case Kind::store:
        case Kind::update:
          if (!task.in_front) return stop_at_access(task, operation);
          task.in_front = false;
          perform(task, operation);
          continue;
        case Kind::work:
          if (task.worked == operation.amount) {
            task.worked = 0;
            ++task.next;
            continue;
          }
          ++task.worked;
          tick(task);
          break;
        case Kind::spin_until:
          if (outcome_.variables[operation.object] != 0) {
            ++task.next;
            continue;
          }
          tick(task);
          break;
        case Kind::go_back:
          task.next = task.accumulator == 0 ? operation.amount : task.next + 1;
          tick(task);
          break;
        case Kind::call:
          ++task.next;
          return stop(task, DecisionPoint::syscall);
        case Kind::lock:
          if (held_.contains(operation.object)) {
            waiting_[operation.object].push_back(task.id);
            return block(task);
          }
          held_.insert(operation.object);
          ++task.next;
          return stop(task, DecisionPoint::syscall);
        case Kind::unlock: {
          held_.erase(operation.object);
          ++task.next;
          auto& waiting = waiting_[operation.object];
          if (waiting.empty()) return stop(task, DecisionPoint::syscall);
          ready_.push_back(waiting.front());
          waiting.erase(waiting.begin());
          return stop(task, DecisionPoint::woken);
        }
        case Kind::sleep:
          if (task.woken) {
            task.woken = false;
            ++task.next;
            return stop(task, DecisionPoint::syscall);
          }
          task.wakes_at = now_ + operation.amount;
          first_wake_ = std::min(first_wake_, task.wakes_at);
          return block(task);
      }
      if (task.ticks >= end || wanted(task) || now_ > kLongestRun)
        return stop(task, DecisionPoint::budget);
    }
  }

  const ToyProgram& program_;
  Strategy& strategy_;
  const FollowSchedule* following_;
  std::vector<Task> tasks_;
  std::vector<TaskId> ready_, runnable_;
  std::set<uint32_t> held_;
  std::map<uint32_t, std::vector<TaskId>> waiting_;
  uint64_t now_ = 0;
  uint64_t first_wake_ = ~uint64_t{0};
  size_t finished_ = 0;
  Situation situation_;
  ToyOutcome outcome_;
};

}  // namespace

ToyOutcome run_toy(const ToyProgram& program, Strategy& strategy, uint64_t run,
                   uint64_t most_decisions) {
  strategy.begin(run);
  return ToyMachine(program, strategy, nullptr).run(most_decisions);
}

ToyOutcome follow_toy(const ToyProgram& program, FollowSchedule& strategy) {
  strategy.begin(0);
  return ToyMachine(program, strategy, &strategy).run(10'000);
}

}  // namespace heddle
