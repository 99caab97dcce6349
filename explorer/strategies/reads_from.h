// Schedules are mutated by which write a read is to see, and kept where that shows something new.
//
// D. Wolff, Z. Shi, G. Duck, U. Mathur, A. Roychoudhury, "Greybox Fuzzing for Concurrency Testing",
// ASPLOS 2024 (RFF).
#pragma once

#include <map>
#include <set>
#include <utility>

#include "explorer/strategies/pending_accesses.h"
#include "explorer/strategies/random_priorities.h"
#include "explorer/strategies/random_source.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// An abstract schedule is a set of constraints: the read at one instruction is to see the write at
// another one (0: none in this run), or is not to. A run is one out of the corpus, with a mutation,
// under priorities as Pos has them; a read whose constraint does not hold waits, and so does a
// write that would take away what a read is to see. Runs that saw a pair for the first time join
// the corpus, between rounds; the rarer their pairs are, the more often they are mutated.
class ReadsFrom final : public Strategy {
 public:
  static constexpr uint64_t kRound = 32;
  static constexpr Ticks kLongestTurn = 1'000'000;  // then a task is taken to spin
  static constexpr size_t kMostConstraints = 8;
  static constexpr size_t kMostTold = 400;       // pairs in a lesson
  static constexpr uint32_t kLongestWait = 500;  // decisions that a task waits for its constraint

  explicit ReadsFrom(uint64_t seed, Ticks longest_turn = kLongestTurn);

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "rff"; }
  std::string describe() const override;
  uint64_t round() const override { return kRound; }
  std::string lesson() const override;
  void learn(const std::vector<std::string>& lessons) override;

 private:
  using Pair = std::pair<uint64_t, uint64_t>;  // pcs of a write and of a read that sees it
  struct Constraint {
    Pair pair;
    bool wanted = true;
    bool operator==(const Constraint&) const = default;
  };
  using AbstractSchedule = std::vector<Constraint>;

  AbstractSchedule mutated();
  bool waits(const PendingAccess& access) const;
  void note_performed(const PendingAccess& access);

  uint64_t seed_;
  Ticks longest_turn_;
  std::vector<AbstractSchedule> corpus_;
  std::vector<std::set<Pair>> pairs_of_;  // that each of the corpus saw
  std::map<Pair, uint64_t> times_;        // that runs saw a pair
  std::vector<Pair> possible_;            // writes and reads of a common address
  std::map<uint64_t, std::pair<std::set<uint64_t>, std::set<uint64_t>>> sites_;  // by address

  uint64_t run_ = 0;
  RandomSource random_;
  PendingAccesses pending_;
  AbstractSchedule schedule_;
  RandomPriorities priorities_;
  std::map<uint64_t, uint64_t> last_write_;  // pc, by address
  std::set<Pair> seen_;
  std::set<std::pair<uint64_t, Pair>> told_;  // (address, (pc, writes))
  uint32_t waited_ = 0;
};

}  // namespace heddle
