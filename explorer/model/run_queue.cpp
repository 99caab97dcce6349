#include "explorer/model/run_queue.h"

#include <errno.h>

#include <algorithm>
#include <stdexcept>

#include "explorer/model/answers.h"

namespace heddle::model {
void RunQueue::remove(TaskId task) {
  std::erase(runnable_, task);
  suspended_.erase(task);
  waiting_.erase(task);
  ended_.erase(task);
}

void RunQueue::yield(TaskId task) {
  std::erase(runnable_, task);
  runnable_.push_back(task);
}

void RunQueue::suspend(TaskId task) {
  std::erase(runnable_, task);
  suspended_.insert(task);
}

void RunQueue::resume(TaskId task) {
  if (suspended_.erase(task) != 0) runnable_.push_back(task);
}

WaitNumber RunQueue::block(TaskId task, Wait wait) {
  std::erase(runnable_, task);
  waiting_[task] = {std::move(wait), ++last_number_};
  return last_number_;
}

bool RunQueue::waits(TaskId task, WaitNumber number) const {
  const auto found = waiting_.find(task);
  return found != waiting_.end() && found->second.number == number;
}

const Wait* RunQueue::wait_of(TaskId task) const {
  const auto found = waiting_.find(task);
  return found == waiting_.end() ? nullptr : &found->second.wait;
}

void RunQueue::end(TaskId task, SyscallAnswer answer) {
  if (waiting_.erase(task) == 0)
    throw std::logic_error("model kernel: task " + std::to_string(task) + " does not wait");
  ended_[task] = std::move(answer);
  runnable_.push_back(task);
}

void RunQueue::interrupt(TaskId task, bool restart) {
  const Wait wait = waiting_.at(task).wait;
  if (restart && wait.on_signal == OnSignal::restarts) return end(task, done(kMadeAgain));
  SyscallAnswer answer = done(-EINTR);
  if (wait.remaining != 0)
    answer.effects.push_back(
        effect(wait.remaining, to_timespec(wait.deadline - std::min(now_, wait.deadline))));
  end(task, std::move(answer));
}

SyscallAnswer RunQueue::collect(TaskId task) {
  auto node = ended_.extract(task);
  if (node.empty())
    throw std::logic_error("model kernel: no call of task " + std::to_string(task) + " has ended");
  return std::move(node.mapped());
}

void RunQueue::pass(uint64_t ns) {
  now_ += ns;
  while (true) {
    const auto next = std::ranges::min_element(waiting_, [](const auto& a, const auto& b) {
      return std::pair(a.second.wait.deadline, a.second.number) <
             std::pair(b.second.wait.deadline, b.second.number);
    });
    if (next == waiting_.end() || next->second.wait.deadline > now_) return;
    end(next->first, next->second.wait.timed_out);
  }
}

uint64_t RunQueue::first_deadline() const {
  uint64_t first = kNever;
  for (const auto& [task, waiting] : waiting_) first = std::min(first, waiting.wait.deadline);
  return first;
}

std::vector<TaskId> RunQueue::sleepers(uint64_t within) const {
  std::vector<TaskId> tasks;
  for (const auto& [task, waiting] : waiting_) {
    const uint64_t deadline = waiting.wait.deadline;
    if (deadline != kNever && (deadline <= now_ || deadline - now_ <= within))
      tasks.push_back(task);
  }
  std::ranges::stable_sort(tasks, {},
                           [this](TaskId task) { return waiting_.at(task).wait.deadline; });
  return tasks;
}

std::string RunQueue::description() const {
  std::string text;
  for (const auto& [task, waiting] : waiting_)
    text += (text.empty() ? "thread " : "; thread ") + std::to_string(task) + " waits for " +
            waiting.wait.what;
  for (const TaskId task : suspended_)
    text += (text.empty() ? "thread " : "; thread ") + std::to_string(task) +
            " waits for its child to execute a program";
  return text;
}

std::map<TaskId, uint64_t> RunQueue::futexes() const {
  std::map<TaskId, uint64_t> words;
  for (const auto& [task, waiting] : waiting_)
    if (waiting.wait.futex != 0) words[task] = waiting.wait.futex;
  return words;
}

bool RunQueue::waits_for_outside() const {
  return std::ranges::any_of(waiting_, [](const auto& w) { return w.second.wait.for_outside; });
}

}  // namespace heddle::model
