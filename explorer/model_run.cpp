#include "explorer/model_run.h"

#include <algorithm>
#include <iterator>

namespace heddle {
namespace {

// How long a task that could run may be held back while others sleep, in virtual ns. A machine can
// do worse, but a program whose time limits are longer than this counts on its not doing so.
constexpr uint64_t kLongestStall = 100'000'000;

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::same:
      return "same";
    case Verdict::failed:
      return "failed";
    case Verdict::changed:
      return "changed";
    case Verdict::deadlock:
      return "deadlock";
    case Verdict::hang:
      return "hang";
    case Verdict::infeasible:
      return "infeasible";
  }
  return "?";
}

CpuidTable cpuid_answers(const std::vector<Event>& recording) {
  CpuidTable table;
  for (const auto& event : recording) {
    if (const auto* exec = std::get_if<event::Exec>(&event.body); exec && table.shown.empty())
      table.shown = exec->cpuid;
    const auto* answer = std::get_if<event::Instruction>(&event.body);
    if (!answer || !event.registers ||
        answer->kind != static_cast<uint16_t>(translator::SpecialInstruction::cpuid))
      continue;
    const auto& r = *event.registers;
    table.recorded[{static_cast<uint32_t>(r[Register::rax]),
                    static_cast<uint32_t>(r[Register::rcx])}] = *answer;
  }
  return table;
}

ModelState ModelState::fork(bool with_events) const {
  return {guest->start_run(),
          kernel,
          current,
          random,
          with_events ? events : std::vector<Event>(),
          ticks,
          points,
          heap,
          block_users};
}

ModelRun::ModelRun(ModelState& state, const CpuidTable& cpuid, RunLimits limits)
    : s_(state), cpuid_(cpuid), limits_(std::move(limits)) {}

void ModelRun::add(EventBody body, TaskId task) {
  if (!limits_.keep_events) return;
  Event event;
  event.number = s_.events.size() + 1;  // after the Exec event
  event.time_ns = s_.kernel.now_ns();
  event.place = s_.guest->task(task).place();
  event.registers = s_.guest->task(task).registers;
  event.body = std::move(body);
  s_.events.push_back(std::move(event));
}

void ModelRun::end(Verdict verdict, std::string reason, int status) {
  ended_ = true;
  outcome_.verdict = verdict;
  outcome_.reason = std::move(reason);
  outcome_.status = status;
}

void ModelRun::note_switch(TaskId next) {
  const bool runnable = situation_.current_runnable;
  if (runnable && next != s_.current && !s_.kernel.child_runs(s_.current)) {
    // A child that runs is no task of the trace.
    add(event::Switch{s_.kernel.child_runs(next) ? 0 : next}, s_.current);
    if (limits_.keep_events) s_.events.back().registers.reset();
  }
  if (next != standard_ || placed_ != 0 || injected_.kind != FaultKind::none || holds_)
    outcome_.schedule.steps.push_back({situation_.at, next, placed_, injected_, holds_});
  placed_ = 0;
  injected_ = {};
  for (auto& [task, decisions] : held_back_) ++decisions;
  std::erase_if(held_back_, [](const auto& held) { return held.second > kLongestHold; });
  if (keeps_turn_ > 0) --keeps_turn_;
  if (next != s_.current) keeps_turn_ = 0;
  if (holds_ && next == situation_.at.task)
    keeps_turn_ = kLongestHold;
  else if (holds_)
    held_back_.insert_or_assign(situation_.at.task, 0);
  holds_ = false;
  held_back_.erase(next);
  if (next != s_.current || turn_over_) turn_ = 0;
  turn_over_ = false;
  s_.current = next;
}

bool ModelRun::place_signal(int32_t number) {
  if (!s_.kernel.own(situation_.at.task)) return false;
  if (!s_.kernel.place_signal(number, situation_.at.task)) return false;
  placed_ = number;
  list_runnable();
  return true;
}

bool ModelRun::find_runnable() {
  runnable_ = s_.kernel.runnable();
  while (runnable_.empty()) {
    const bool outside = s_.kernel.waits_for_outside();
    const bool too_late = outside && s_.kernel.now_ns() > limits_.idle_ns;
    if (too_late || !s_.kernel.advance_time()) {
      if (outside)
        end(Verdict::infeasible,
            "only the outside could go on: " + s_.kernel.deadlock_description(s_.guest->memory()));
      else
        end_deadlocked();
      return false;
    }
    runnable_ = s_.kernel.runnable();
  }
  list_runnable();
  return true;
}

void ModelRun::end_deadlocked() {
  if (limits_.at_deadlock)
    for (const auto& [task, call] : waiting_) limits_.at_deadlock(*s_.guest, task);
  end(Verdict::deadlock, s_.kernel.deadlock_description(s_.guest->memory()));
}

// The tasks that could still run are what goes on.
void ModelRun::end_endless() {
  // Whoever answers to the outside may be what the others wait for.
  if (s_.kernel.waits_for_outside()) {
    end(Verdict::infeasible,
        "it goes on while somebody waits for the outside: " + s_.kernel.waiting_description());
    return;
  }
  // By number: whose turn it was when the limit was reached says nothing.
  std::vector<TaskId> tasks = s_.kernel.runnable();
  std::ranges::sort(tasks);
  std::string text = tasks.size() > 1 ? "livelock: " : "";
  for (size_t i = 0; i < tasks.size(); ++i)
    text += (i == 0 ? "thread " : ", thread ") + std::to_string(tasks[i]);
  text += tasks.size() > 1 ? " go on in turns" : " goes on";
  text += ", and the program did not end within the limits of a run";
  const std::string waiting = s_.kernel.waiting_description();
  end(Verdict::hang, text + (waiting.empty() ? "" : " (" + waiting + ")"));
}

void ModelRun::inject(const Fault& fault) {
  if (fault.kind == FaultKind::none) return;
  injected_ = fault;
  armed_[situation_.at.task] = {situation_.at, fault};
}

void ModelRun::list_runnable() {
  runnable_ = s_.kernel.runnable();
  situation_.current_runnable = std::ranges::count(runnable_, s_.current) > 0;
  situation_.ready = runnable_.size();
  // Time may pass while a runnable task is held back: sleepers can be chosen too.
  std::ranges::copy(s_.kernel.sleepers(kLongestStall), std::back_inserter(runnable_));
  situation_.runnable = runnable_;
  standard_ = situation_.standard = standard();
  // One that comes is taken by the task that ran last.
  signals_ = s_.kernel.own(situation_.at.task) ? s_.kernel.outside_signals(kLongestStall)
                                               : std::vector<int32_t>();
  situation_.signals = signals_;
  interrupted_.clear();
  for (const TaskId task : s_.kernel.runnable())
    if (s_.kernel.deliverable(task)) interrupted_.push_back(task);
  situation_.interrupted = interrupted_;
}

TaskId ModelRun::standard() const {
  const bool goes_on = situation_.current_runnable && (!turn_over_ || keeps_turn_ > 0);
  // Programs that children execute take longer than what their parent does next.
  if (goes_on && !s_.kernel.child_runs(s_.current)) return s_.current;
  const auto free = [&](TaskId task) { return !held_back_.contains(task); };
  const auto first = std::ranges::find_if(runnable_, free);
  return first != runnable_.end() ? *first : runnable_.front();
}

Ticks ModelRun::most_ticks() const {
  const Ticks left = kTurn - std::min(turn_, kTurn - 1);
  if (s_.kernel.runnable().size() > 1) return left;
  // Alone, it may spin until a time comes.
  return std::min(left, std::max<Ticks>(s_.kernel.next_due() - s_.kernel.now_ns(), 1));
}

// The loop of every kind of run: `choose` names the next task among runnable_, `execute` runs it to
// an Exit.
void ModelRun::loop(const std::function<TaskId()>& choose,
                    const std::function<Exit(TaskId)>& execute) {
  ModelGuest& guest = *s_.guest;
  uint64_t decisions = 0;
  while (!ended_) {
    if (!find_runnable()) break;
    if (++decisions > limits_.decisions || s_.ticks > limits_.ticks) {
      end_endless();
      break;
    }
    const TaskId next = choose();
    if (ended_) break;
    if (std::ranges::count(runnable_, next) == 0)
      throw std::logic_error("a strategy chose a task that cannot run");
    note_switch(next);
    s_.kernel.advance_to(next);
    const TaskId task = s_.current;
    if (s_.kernel.child_runs(task)) {
      act(task);
      continue;
    }
    if (const Step settled = settle_before_running(task); settled == Step::blocked)
      continue;
    else if (settled != Step::goes_on)
      break;
    pass_point(task);
    if (ended_) break;

    const Ticks before = guest.task(task).ticks;
    const Exit exit = execute(task);
    const Place after = guest.task(task).place();
    note_performed(task);
    situation_.call = 0;
    situation_.faults = {};
    faults_.clear();
    s_.kernel.ran(after.ticks - before);
    s_.ticks += after.ticks - before;
    const bool asks = exit.kind == Exit::Kind::syscall && stops_before_call(task, after);
    const bool calls =
        !asks && (exit.kind == Exit::Kind::syscall || exit.kind == Exit::Kind::special);
    turn_ += after.ticks - before + (calls ? kCallOfTurn : 0);
    if (turn_ >= kTurn) {
      turn_over_ = true;
      s_.kernel.preempt(task);
    }
    situation_.at = after;
    Step step = Step::goes_on;
    // A signal that came meanwhile is taken before the call is made.
    if (calls && exit.kind == Exit::Kind::syscall && s_.kernel.deliverable(task)) {
      situation_.why = DecisionPoint::budget;
      continue;
    }
    if (asks) {
      situation_.why = DecisionPoint::access;
      note_point(task);
      continue;
    }
    switch (exit.kind) {
      case Exit::Kind::stop:
        asked_[task] = after;
        if (limits_.keep_points || s_.heap) note_point(task);
        [[fallthrough]];
      case Exit::Kind::budget:
        situation_.why = DecisionPoint::budget;
        continue;
      case Exit::Kind::point:
        situation_.why = DecisionPoint::access;
        note_point(task);
        if (after.phase == 0) held_[task] = after;
        continue;
      case Exit::Kind::syscall:
        step = syscall(task);
        break;
      case Exit::Kind::special:
        step = special(task, *exit.site);
        break;
      case Exit::Kind::fault:
        step = fault(task, exit.info);
        break;
      default:
        throw std::runtime_error("the explored process ended from outside");
    }
    if (step == Step::at_start) return;
    if (ended_) break;
    situation_.why = step == Step::blocked ? DecisionPoint::blocked : DecisionPoint::syscall;
    if (step == Step::blocked) {
      situation_.at.phase = 2;
      turn_ = 0;
      turn_over_ = false;
    } else {
      situation_.at = guest.task(task).place();
    }
  }
}

RunOutcome ModelRun::result() {
  outcome_.output = s_.kernel.output(1);
  outcome_.error = s_.kernel.output(2);
  outcome_.ticks = s_.ticks;
  outcome_.events = std::move(s_.events);
  return std::move(outcome_);
}

RunOutcome ModelRun::run(Scheduler& scheduler) {
  ModelGuest& guest = *s_.guest;
  situation_.why = DecisionPoint::syscall;
  situation_.at = guest.task(s_.current).place();
  Ticks budget = 1;
  loop(
      [&] {
        const Decision decision = scheduler.decide(situation_);
        budget = std::max<Ticks>(decision.ticks, 1);
        if (decision.signal != 0) place_signal(decision.signal);
        inject(decision.fault);
        holds_ = decision.holds;
        return decision.next;
      },
      [&](TaskId task) {
        // A task left in front of its access must perform it now rather than stop there again.
        const auto held = held_.find(task);
        const bool in_front = held != held_.end() && held->second == guest.task(task).place();
        if (held != held_.end()) held_.erase(held);
        return guest.run(task, std::min(budget, most_ticks()), in_front ? 2 : 1);
      });
  return result();
}

RunOutcome ModelRun::follow(const Schedule& schedule) {
  ModelGuest& guest = *s_.guest;
  situation_.at = guest.task(s_.current).place();
  size_t step = 0;
  const auto& steps = schedule.steps;
  loop(
      [&] {
        TaskId next = standard_;
        if (step == steps.size()) return next;
        const Place& at = steps[step].at;
        if (at == situation_.at) {
          next = steps[step++].next;
          outcome_.points_before_step.push_back(outcome_.points.size());
          if (const int32_t signal = steps[step - 1].signal; signal != 0 && !place_signal(signal))
            end(Verdict::infeasible, "step " + std::to_string(step) +
                                         " of the schedule names a signal that is not to come");
          inject(steps[step - 1].fault);
          holds_ = steps[step - 1].holds;
          if (std::ranges::count(runnable_, next) == 0)
            end(Verdict::infeasible, "step " + std::to_string(step) +
                                         " of the schedule names a task that cannot run there");
        } else if (at.task == situation_.at.task && at.ticks < situation_.at.ticks) {
          end(Verdict::infeasible,
              "step " + std::to_string(step + 1) + " of the schedule is not reached");
        }
        return next;
      },
      [&](TaskId task) {
        const uint64_t points = limits_.keep_points || s_.heap ? 1 : GuestCpu::kUnlimited;
        const auto held = held_.find(task);
        const bool in_front = held != held_.end() && held->second == guest.task(task).place();
        if (held != held_.end()) held_.erase(held);
        const auto run = [&](Ticks budget) {
          return guest.run(task, std::min(budget, most_ticks()),
                           in_front && points == 1 ? 2 : points);
        };
        if (step == steps.size() || steps[step].at.task != task) return run(limits_.ticks);
        const Place& at = steps[step].at;
        const Ticks now = guest.task(task).ticks;
        if (at.ticks > now) return run(at.ticks - now);
        if (at.ticks < now || at.phase == 2) return run(limits_.ticks);
        if (const auto exit = guest.run_to(at)) return *exit;
        Exit there;
        there.kind = Exit::Kind::stop;
        return there;
      });
  if (!ended_ || outcome_.verdict != Verdict::infeasible) {
    if (step < steps.size() && outcome_.verdict != Verdict::hang) {
      outcome_.verdict = Verdict::infeasible;
      outcome_.reason =
          "the program ended before step " + std::to_string(step + 1) + " of the schedule";
    }
  }
  return result();
}

bool ModelRun::run_to_start(const IsStart& is_start) {
  situation_.at = s_.guest->task(s_.current).place();
  is_start_ = &is_start;
  loop([&] { return standard_; }, [&](TaskId task) { return s_.guest->run(task, most_ticks()); });
  is_start_ = nullptr;
  return !ended_;
}

}  // namespace heddle
