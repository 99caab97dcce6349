#include "explorer/strategies/fault_injection.h"

#include <algorithm>
#include <cstdio>

#include "explorer/strategies/lesson_text.h"

namespace heddle {
namespace {

// Of the runs that know no targets, which call gets a fault: each with this probability.
constexpr uint64_t kOneIn = 8;

}  // namespace

void FaultInjection::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  watch_.begin();
  met_.clear();
  met_first_.clear();
  wanted_ = run != 0;
  known_ = !targets_.empty();
  shuffled_ = false;
  if (!known_) return;
  const uint64_t number = run - std::min(run, kRound);
  const uint64_t turn = number / targets_.size();
  target_ = targets_[number % targets_.size()];
  const uint64_t count = counts_[target_];
  occurrence_ = turn == 0 ? 1 : turn == 1 ? count : 1 + random_.below(count);
  shuffled_ = turn > 1;
}

template <typename Visit>
void FaultInjection::for_each_target(const Situation& situation, Visit visit) {
  std::map<FaultKind, uint64_t> ranks;
  for (const Fault& fault : situation.faults)
    visit(Target{situation.at.pc, situation.call, fault.kind, ranks[fault.kind]++}, fault);
}

bool FaultInjection::injects(const Target& target) {
  if (!wanted_) return false;
  if (!known_) return random_.below(kOneIn) == 0;
  return target == target_ && met_[target] == occurrence_;
}

Decision FaultInjection::decide(const Situation& situation) {
  const bool spins = watch_.spins(situation);
  if (situation.why == DecisionPoint::access && !situation.faults.empty() &&
      situation.current_runnable) {
    Decision decision{situation.at.task, kTurn};
    for_each_target(situation, [&](const Target& target, const Fault& fault) {
      if (met_[target]++ == 0) met_first_.push_back(target);
      if (!injects(target)) return;
      decision.fault = fault;
      wanted_ = false;
    });
    if (decision.fault.kind != FaultKind::none) return decision;
  }
  const bool stays = situation.current_runnable && situation.why != DecisionPoint::budget && !spins;
  if (stays && (!shuffled_ || random_.below(4) != 0)) return {situation.at.task, kTurn};
  if (!shuffled_) {
    // Whoever has waited longest; not the one whose turn is over.
    for (const TaskId task : ready(situation))
      if (task != situation.at.task) return {task, kTurn};
  }
  const auto tasks = ready(situation).empty() ? situation.runnable : ready(situation);
  return {random_.pick(tasks), kTurn};
}

std::string FaultInjection::describe() const {
  std::string text =
      "fault-injection seed " + std::to_string(seed_) + " run " + std::to_string(run_);
  if (!known_) return text;
  char place[96];
  std::snprintf(place, sizeof place, ", call at %llx, execution %llu",
                static_cast<unsigned long long>(target_.pc),
                static_cast<unsigned long long>(occurrence_));
  return text + place;
}

std::string FaultInjection::lesson() const {
  std::string text;
  for (size_t i = 0; i < std::min(met_first_.size(), kMostTold); ++i) {
    const Target& target = met_first_[i];
    for (const uint64_t number :
         {target.pc, target.call, static_cast<uint64_t>(target.kind), target.rank, met_.at(target)})
      add_number(text, number);
  }
  return text;
}

void FaultInjection::learn(const std::vector<std::string>& lessons) {
  learnt_ += lessons.size();
  for (const std::string& lesson : lessons) {
    const auto numbers = numbers_of(lesson);
    for (size_t i = 0; i + 5 <= numbers.size(); i += 5) {
      const Target target{numbers[i], numbers[i + 1], static_cast<FaultKind>(numbers[i + 2]),
                          numbers[i + 3]};
      uint64_t& count = counts_[target];
      if (count == 0) targets_.push_back(target);
      count = std::max(count, numbers[i + 4]);
    }
  }
}

std::string FaultInjection::finished() const {
  if (learnt_ > 0 && targets_.empty()) return "no system call of the program can meet a fault";
  return {};
}

}  // namespace heddle
