#include "explorer/strategies/surw.h"

#include <algorithm>

#include "explorer/strategies/lesson_text.h"

namespace heddle {

void Surw::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  watch_.begin();
  pending_.begin();
  seen_.clear();
  left_.clear();
  intended_ = 0;
  address_ = 0;
  if (shared_.empty()) return;
  address_ = random_.pick(std::span<const uint64_t>(shared_));
  for (const auto& [task, count] : known_.at(address_)) left_[task] = count.accesses;
}

bool Surw::interesting(const PendingAccess& access) const {
  if (!access.known()) return false;
  return address_ == 0 || (access.address <= address_ && address_ < access.address + access.size);
}

// With a probability proportional to what each has left; one that has made more than was known
// counts as one that has one left.
void Surw::intend(std::span<const TaskId> tasks) {
  uint64_t sum = 0;
  const auto weight = [&](TaskId task) { return std::max<uint64_t>(left_[task], 1); };
  for (const TaskId task : tasks) sum += weight(task);
  uint64_t at = random_.below(sum);
  for (const TaskId task : tasks) {
    intended_ = task;
    if (at < weight(task)) return;
    at -= weight(task);
  }
}

Decision Surw::decide(const Situation& situation) {
  pending_.note(situation);
  const TaskId last = situation.at.task;
  const PendingAccess& performed = pending_.performed();
  if (performed.known()) {
    Count& count = seen_[performed.address][last];
    ++count.accesses;
    count.writes |= performed.writes;
  }
  if (interesting(performed)) {
    if (left_[last] > 0) --left_[last];
    if (last == intended_) intended_ = 0;
  }
  const auto tasks = ready(situation);
  const bool spins = watch_.spins(situation) || situation.why == DecisionPoint::budget;
  std::vector<TaskId> others;
  for (const TaskId task : tasks)
    if (!spins || task != last || tasks.size() == 1) others.push_back(task);
  if (std::ranges::count(others, intended_) == 0) intend(others);
  std::vector<TaskId> free;
  for (const TaskId task : others)
    if (task == intended_ || !interesting(pending_.of(task))) free.push_back(task);
  const TaskId next = random_.pick(std::span<const TaskId>(free));
  pending_.chose(next);
  return {next, random_.geometric(kMeanTurn)};
}

std::string Surw::lesson() const {
  std::string text;
  size_t told = 0;
  for (const auto& [address, tasks] : seen_)
    for (const auto& [task, count] : tasks) {
      if (++told > kMostTold) return text;
      add_number(text, address);
      add_number(text, task);
      add_number(text, count.accesses);
      add_number(text, count.writes);
    }
  return text;
}

void Surw::learn(const std::vector<std::string>& lessons) {
  for (const std::string& lesson : lessons) {
    const auto numbers = numbers_of(lesson);
    for (size_t i = 0; i + 3 < numbers.size(); i += 4) {
      Count& count = known_[numbers[i]][static_cast<TaskId>(numbers[i + 1])];
      count.accesses = std::max(count.accesses, numbers[i + 2]);
      count.writes |= numbers[i + 3] != 0;
    }
  }
  shared_.clear();
  for (const auto& [address, tasks] : known_)
    if (tasks.size() > 1 &&
        std::ranges::any_of(tasks, [](const auto& task) { return task.second.writes; }))
      shared_.push_back(address);
}

std::string Surw::describe() const {
  std::string text = "surw seed " + std::to_string(seed_) + " run " + std::to_string(run_);
  if (address_ != 0) {
    text += " at 0x";
    add_number(text, address_);
    text.pop_back();
  }
  return text;
}

}  // namespace heddle
