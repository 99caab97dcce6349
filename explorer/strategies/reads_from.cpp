#include "explorer/strategies/reads_from.h"

#include <algorithm>

#include "explorer/strategies/lesson_text.h"

namespace heddle {

ReadsFrom::ReadsFrom(uint64_t seed, Ticks longest_turn)
    : seed_(seed), longest_turn_(longest_turn), corpus_(1), pairs_of_(1) {}

void ReadsFrom::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  pending_.begin();
  priorities_.begin();
  last_write_.clear();
  seen_.clear();
  told_.clear();
  waited_ = 0;
  schedule_ = mutated();
}

ReadsFrom::AbstractSchedule ReadsFrom::mutated() {
  // The energy of one: how rare the rarest pair is that it saw.
  std::vector<double> energy;
  double sum = 0;
  for (const auto& pairs : pairs_of_) {
    uint64_t rarest = ~uint64_t{0};
    for (const Pair& pair : pairs) rarest = std::min(rarest, times_.at(pair));
    sum += pairs.empty() ? 0.1 : 1 / static_cast<double>(rarest);
    energy.push_back(sum);
  }
  const double at = static_cast<double>(random_.next() >> 11) * 0x1p-53 * sum;
  const auto chosen = std::ranges::upper_bound(energy, at);
  AbstractSchedule schedule =
      corpus_[std::min<size_t>(static_cast<size_t>(chosen - energy.begin()), corpus_.size() - 1)];
  if (possible_.empty()) return schedule;
  const uint64_t action = random_.below(schedule.empty() ? 2 : 4);
  if (action < 2) {
    const Constraint added{random_.pick(std::span<const Pair>(possible_)), !random_.one_in(4)};
    if (schedule.size() == kMostConstraints)
      schedule[random_.below(schedule.size())] = added;
    else
      schedule.push_back(added);
  } else {
    const auto which = static_cast<std::ptrdiff_t>(random_.below(schedule.size()));
    if (action == 2)
      schedule.erase(schedule.begin() + which);
    else
      schedule[static_cast<size_t>(which)].wanted ^= true;
  }
  return schedule;
}

bool ReadsFrom::waits(const PendingAccess& access) const {
  if (!access.known() || waited_ > kLongestWait) return false;
  const auto found = last_write_.find(access.address);
  const uint64_t last = found == last_write_.end() ? 0 : found->second;
  for (const auto& [pair, wanted] : schedule_) {
    if (access.reads && pair.second == access.pc && (last == pair.first) != wanted) return true;
    // The read is still to come: nobody writes over what it is to see.
    if (access.writes && wanted && last == pair.first && access.pc != pair.first &&
        !seen_.contains(pair)) {
      const auto sites = sites_.find(access.address);
      if (sites != sites_.end() && sites->second.second.contains(pair.second)) return true;
    }
  }
  return false;
}

void ReadsFrom::note_performed(const PendingAccess& access) {
  if (!access.known()) return;
  const auto found = last_write_.find(access.address);
  if (access.reads) {
    seen_.insert({found == last_write_.end() ? 0 : found->second, access.pc});
    told_.insert({access.address, {access.pc, 0}});
  }
  if (access.writes) {
    last_write_[access.address] = access.pc;
    told_.insert({access.address, {access.pc, 1}});
  }
}

Decision ReadsFrom::decide(const Situation& situation) {
  pending_.note(situation);
  note_performed(pending_.performed());
  priorities_.note(situation, pending_.performed(), pending_, random_);
  bool somebody_waits = false;
  const TaskId next = *std::ranges::max_element(ready(situation), {}, [&](TaskId task) {
    const bool waiting = waits(pending_.of(task));
    somebody_waits |= waiting;
    return std::pair(!waiting, priorities_.of(task));
  });
  if (somebody_waits) ++waited_;
  pending_.chose(next);
  return {next, longest_turn_};
}

std::string ReadsFrom::lesson() const {
  std::string text;
  const size_t pairs = std::min(seen_.size(), kMostTold);
  add_number(text, schedule_.size());
  for (const auto& [pair, wanted] : schedule_)
    for (const uint64_t number : {pair.first, pair.second, uint64_t{wanted}})
      add_number(text, number);
  add_number(text, pairs);
  size_t told = 0;
  for (const auto& [write, read] : seen_) {
    if (told++ == pairs) break;
    add_number(text, write);
    add_number(text, read);
  }
  told = 0;
  for (const auto& [address, site] : told_) {
    if (told++ == kMostTold) break;
    for (const uint64_t number : {address, site.first, site.second}) add_number(text, number);
  }
  return text;
}

void ReadsFrom::learn(const std::vector<std::string>& lessons) {
  for (const std::string& lesson : lessons) {
    const auto numbers = numbers_of(lesson);
    size_t at = 0;
    const auto next = [&] { return at < numbers.size() ? numbers[at++] : 0; };
    AbstractSchedule schedule(std::min<uint64_t>(next(), kMostConstraints));
    for (auto& [pair, wanted] : schedule) {
      pair.first = next();
      pair.second = next();
      wanted = next() != 0;
    }
    std::set<Pair> pairs;
    bool news = false;
    for (uint64_t left = std::min<uint64_t>(next(), kMostTold); left > 0; --left) {
      const uint64_t write = next();
      const Pair pair{write, next()};
      news |= ++times_[pair] == 1;
      pairs.insert(pair);
    }
    while (at < numbers.size()) {
      auto& [writes, reads] = sites_[next()];
      const uint64_t pc = next();
      (next() != 0 ? writes : reads).insert(pc);
    }
    if (!news) continue;
    corpus_.push_back(std::move(schedule));
    pairs_of_.push_back(std::move(pairs));
  }
  std::set<Pair> possible;
  for (const auto& [address, site] : sites_)
    for (const uint64_t read : site.second) {
      possible.insert({0, read});
      for (const uint64_t write : site.first) possible.insert({write, read});
    }
  possible_.assign(possible.begin(), possible.end());
}

std::string ReadsFrom::describe() const {
  return "rff seed " + std::to_string(seed_) + " run " + std::to_string(run_) + " with " +
         std::to_string(schedule_.size()) + " constraints";
}

}  // namespace heddle
