#include "explorer/strategies/systematic.h"

#include <algorithm>

#include "explorer/strategies/lesson_text.h"

namespace heddle {

Systematic::Systematic(uint64_t seed, Ticks longest_turn)
    : seed_(seed), longest_turn_(longest_turn) {
  waiting_[0].emplace_back();
  fill_round();
}

void Systematic::fill_round() {
  round_.clear();
  for (auto& [preemptions, items] : waiting_) {
    if (round_.empty() || round_.front().preemptions == preemptions)
      while (!items.empty() && round_.size() < kRound) {
        round_.push_back(std::move(items.front()));
        items.pop_front();
      }
  }
  std::erase_if(waiting_, [](const auto& level) { return level.second.empty(); });
}

void Systematic::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  watch_.begin();
  pending_.begin();
  sleep_.clear();
  nodes_.clear();
  const uint64_t index = run - std::min(run, learnt_);
  item_ = index < round_.size() ? &round_[index] : nullptr;
}

void Systematic::wake(const PendingAccess& performed) {
  // What else a task does is not known: it may matter to anybody.
  if (!performed.known())
    sleep_.clear();
  else
    std::erase_if(sleep_, [&](const Sleeper& s) { return s.access.conflicts(performed); });
}

bool Systematic::sleeps(TaskId task) const {
  return std::ranges::any_of(sleep_, [&](const Sleeper& s) { return s.task == task; });
}

TaskId Systematic::choose(const Situation& situation) {
  const auto tasks = ready(situation);
  const bool spins = watch_.spins(situation);
  if (!item_) return random_.pick(tasks);
  if (tasks.size() < 2) return tasks.front();
  const TaskId current = situation.at.task;
  const bool gives_way = spins || situation.why == DecisionPoint::budget;
  const bool can_go_on = situation.current_runnable && std::ranges::count(tasks, current) > 0;
  if (gives_way) {
    // The next one in a circle; no choice is made there.
    std::vector<TaskId> circle(tasks.begin(), tasks.end());
    std::ranges::sort(circle);
    const auto next = std::ranges::upper_bound(circle, current);
    return next == circle.end() ? circle.front() : *next;
  }
  Node node;
  node.current = current;
  node.current_runnable = can_go_on;
  for (const TaskId task : tasks) {
    node.ready.push_back({task, pending_.of(task)});
  }
  const size_t index = nodes_.size();
  if (index + 1 == item_->choices.size()) sleep_ = item_->sleep;
  for (const Sleeper& s : sleep_) node.asleep.push_back(s.task);
  if (index < item_->choices.size() && std::ranges::count(tasks, item_->choices[index]) > 0) {
    node.chosen = item_->choices[index];
  } else if (can_go_on && !sleeps(current)) {
    node.chosen = current;
  } else {
    const auto awake = std::ranges::find_if(tasks, [&](TaskId task) { return !sleeps(task); });
    node.chosen = awake == tasks.end() ? tasks.front() : *awake;
  }
  nodes_.push_back(node);
  return node.chosen;
}

Decision Systematic::decide(const Situation& situation) {
  pending_.note(situation);
  if (item_ && nodes_.size() >= item_->choices.size()) wake(pending_.performed());
  const TaskId next = choose(situation);
  pending_.chose(next);
  return {next, item_ ? longest_turn_ : random_.geometric(4000)};
}

// The choices, how many of them were prescribed, and from the last of these on what else there was.
std::string Systematic::lesson() const {
  std::string text;
  if (!item_) return text;
  const size_t decisions = std::min(nodes_.size(), kMostDecisions);
  add_number(text, decisions);
  add_number(text, item_->choices.size());
  for (size_t i = 0; i < decisions; ++i) {
    const Node& node = nodes_[i];
    add_number(text, node.chosen);
    add_number(text, node.current_runnable ? node.current : 0);
    if (i < item_->choices.size()) continue;
    add_number(text, node.ready.size());
    for (const auto& [task, access] : node.ready) {
      const auto asleep = uint64_t{std::ranges::count(node.asleep, task) > 0};
      for (const uint64_t number :
           {uint64_t{task}, asleep, access.pc, access.address, uint64_t{access.size},
            uint64_t{access.reads}, uint64_t{access.writes}})
        add_number(text, number);
    }
  }
  return text;
}

void Systematic::add_alternatives(const std::vector<uint64_t>& numbers) {
  size_t at = 0;
  const auto next = [&] { return at < numbers.size() ? numbers[at++] : 0; };
  const auto number = [&] { return static_cast<TaskId>(next()); };
  const uint64_t decisions = std::min<uint64_t>(next(), kMostDecisions), prescribed = next();
  std::vector<TaskId> choices;
  uint32_t preemptions = 0;
  size_t known = 0;
  for (const auto& [level, items] : waiting_) known += items.size();
  for (uint64_t i = 0; i < decisions && at < numbers.size(); ++i) {
    const TaskId chosen = number(), current = number();
    const auto cost = [&](TaskId task) { return uint32_t{current != 0 && task != current}; };
    if (i >= prescribed) {
      std::vector<Sleeper> first, others, asleep;
      for (uint64_t left = next(); left > 0 && at < numbers.size(); --left) {
        Sleeper s;
        s.task = number();
        const bool sleeping = next() != 0;
        s.access.pc = next();
        s.access.address = next();
        s.access.size = static_cast<uint32_t>(next());
        s.access.reads = next() != 0;
        s.access.writes = next() != 0;
        (s.task == chosen ? first : sleeping ? asleep : others).push_back(s);
      }
      std::vector<Sleeper> before = asleep;
      for (const Sleeper& s : first)
        if (s.access.known()) before.push_back(s);
      for (const Sleeper& other : others) {
        const uint32_t needed = preemptions + cost(other.task);
        if (needed > kMostPreemptions) continue;
        if (known++ >= kMostWaiting) {
          cut_ = true;
          return;
        }
        Item item{needed, choices, before};
        item.choices.push_back(other.task);
        waiting_[needed].push_back(std::move(item));
        if (other.access.known()) before.push_back(other);
      }
    }
    choices.push_back(chosen);
    preemptions += cost(chosen);
  }
}

void Systematic::learn(const std::vector<std::string>& lessons) {
  learnt_ += lessons.size();
  // What was not run, since the round was cut short, comes again.
  for (size_t i = round_.size(); i > lessons.size(); --i)
    waiting_[round_[i - 1].preemptions].push_front(std::move(round_[i - 1]));
  for (const std::string& lesson : lessons)
    if (!lesson.empty()) add_alternatives(numbers_of(lesson));
  item_ = nullptr;
  fill_round();
}

std::string Systematic::finished() const {
  if (!round_.empty() || cut_) return {};
  return "every schedule of at most " + std::to_string(kMostPreemptions) +
         " preemptions at the points watched is tried";
}

std::string Systematic::describe() const {
  std::string text = "systematic run " + std::to_string(run_);
  if (!item_) return text + " at random, seed " + std::to_string(seed_);
  return text + " preemptions " + std::to_string(item_->preemptions) + " choices " +
         std::to_string(item_->choices.size());
}

}  // namespace heddle
