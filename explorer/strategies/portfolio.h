// Several strategies, taken in turns.
//
// That no single one finds every bug, and which ones go together, is measured in P. Thomson et al.,
// "Concurrency Testing Using Controlled Schedulers: An Empirical Study", TOPC 2016.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "explorer/strategies/pct.h"
#include "explorer/strategies/signal_placement.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// The first `head` runs are the first member's, but every third one where a member is `beside` it;
// then the members alternate. Each member's own runs count from 0 without gaps.
class Portfolio final : public Strategy {
 public:
  // Throws std::invalid_argument if there are no members.
  Portfolio(std::vector<std::unique_ptr<Strategy>> members, uint64_t head,
            std::optional<size_t> beside = std::nullopt);

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override { return current().decide(situation); }
  std::string name() const override { return current().name(); }
  std::string describe() const override { return current().describe(); }
  std::optional<Meeting> met() const override { return current().met(); }
  // A round is its own; each member learns from its own runs.
  uint64_t round() const override;
  std::string lesson() const override;
  void learn(const std::vector<std::string>& lessons) override;

  // The member whose run it is.
  Strategy& current() const { return *members_[member_]; }

 private:
  std::vector<std::unique_ptr<Strategy>> members_;
  uint64_t head_;
  std::optional<size_t> beside_;
  size_t member_ = 0;
};

// The explorer's own: each target in both orders first (if there are targets), with delays beside
// them, then in turns more of them, signals at theirs, and the general strategies. `estimate` tells
// ticks and accesses.
std::unique_ptr<Portfolio> make_portfolio(uint64_t seed, std::vector<Target> targets,
                                          const Pct::Options& estimate,
                                          std::vector<SignalTarget> signals = {});

// The names that make_strategy knows.
std::vector<std::string> strategy_names();
// Throws std::invalid_argument for another name, and for a directed one without targets.
std::unique_ptr<Strategy> make_strategy(const std::string& name, uint64_t seed,
                                        std::vector<Target> targets, const Pct::Options& estimate,
                                        std::vector<SignalTarget> signals = {});

}  // namespace heddle
