#include "explorer/strategies/portfolio.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "explorer/strategies/delays.h"
#include "explorer/strategies/fault_injection.h"
#include "explorer/strategies/lesson_text.h"
#include "explorer/strategies/pos.h"
#include "explorer/strategies/race_directed.h"
#include "explorer/strategies/random_walk.h"
#include "explorer/strategies/reads_from.h"
#include "explorer/strategies/surw.h"
#include "explorer/strategies/systematic.h"

namespace heddle {

Portfolio::Portfolio(std::vector<std::unique_ptr<Strategy>> members, uint64_t head,
                     std::optional<size_t> beside)
    : members_(std::move(members)), head_(head), beside_(beside) {
  if (members_.empty()) throw std::invalid_argument("a portfolio needs a strategy");
}

void Portfolio::begin(uint64_t run) {
  constexpr uint64_t kEach = 3;  // of the head's runs one is another member's
  const auto others = [&](uint64_t runs) { return beside_ ? runs / kEach : 0; };
  if (run < head_) {
    const bool another = beside_ && run % kEach == kEach - 1;
    member_ = another ? *beside_ : 0;
    members_[member_]->begin(another ? others(run) : run - others(run));
    return;
  }
  const uint64_t turn = run - head_;
  member_ = turn % members_.size();
  uint64_t before = 0;  // of its runs, in the head
  if (member_ == 0) before = head_ - others(head_);
  if (beside_ && member_ == *beside_) before = others(head_);
  members_[member_]->begin(turn / members_.size() + before);
}

uint64_t Portfolio::round() const {
  constexpr uint64_t kRound = 64;
  const auto learns = [](const auto& member) { return member->round() != 0; };
  return std::ranges::any_of(members_, learns) ? kRound : 0;
}

std::string Portfolio::lesson() const {
  std::string text;
  add_number(text, member_);
  return text + current().lesson();
}

void Portfolio::learn(const std::vector<std::string>& lessons) {
  std::vector<std::vector<std::string>> by_member(members_.size());
  for (const std::string& lesson : lessons) {
    const size_t end = lesson.find(' ');
    const auto member = numbers_of(lesson.substr(0, end));
    if (!member.empty() && member.front() < members_.size())
      by_member[member.front()].push_back(lesson.substr(end + 1));
  }
  for (size_t i = 0; i < members_.size(); ++i)
    if (members_[i]->round() != 0) members_[i]->learn(by_member[i]);
}

std::unique_ptr<Portfolio> make_portfolio(uint64_t seed, std::vector<Target> targets,
                                          const Pct::Options& estimate,
                                          std::vector<SignalTarget> signals) {
  std::vector<std::unique_ptr<Strategy>> members;
  const uint64_t directed = 2 * (targets.empty() ? signals.size() : targets.size());
  auto delays = std::make_unique<Delays>(seed, targets, estimate);
  if (!targets.empty()) members.push_back(std::make_unique<RaceDirected>(seed, std::move(targets)));
  if (!signals.empty())
    members.push_back(std::make_unique<SignalPlacement>(seed, std::move(signals)));
  const size_t beside = members.size();
  members.push_back(std::move(delays));
  for (const uint32_t depth : {2u, 3u}) {
    Pct::Options options = estimate;
    options.depth = depth;
    members.push_back(std::make_unique<Pct>(seed + depth, options));
  }
  members.push_back(std::make_unique<RandomWalk>(seed));
  // The directed runs of the head are as many as all targets have orders.
  return std::make_unique<Portfolio>(std::move(members), directed + directed / 2, beside);
}

std::vector<std::string> strategy_names() {
  return {
      "portfolio", "race-directed", "signal-placement", "pct", "delays", "random", "pos", "surw",
      "rff",       "systematic",    "fault-injection"};
}

std::unique_ptr<Strategy> make_strategy(const std::string& name, uint64_t seed,
                                        std::vector<Target> targets, const Pct::Options& estimate,
                                        std::vector<SignalTarget> signals) {
  if (name == "portfolio")
    return make_portfolio(seed, std::move(targets), estimate, std::move(signals));
  if (name == "signal-placement") {
    if (signals.empty())
      throw std::invalid_argument("the analysis found nothing for the strategy signal-placement");
    return std::make_unique<SignalPlacement>(seed, std::move(signals));
  }
  if (name == "race-directed") {
    if (targets.empty())
      throw std::invalid_argument("the analysis found nothing for the strategy race-directed");
    return std::make_unique<RaceDirected>(seed, std::move(targets));
  }
  if (name == "pct") return std::make_unique<Pct>(seed, estimate);
  if (name == "delays") return std::make_unique<Delays>(seed, targets, estimate);
  if (name == "random") return std::make_unique<RandomWalk>(seed);
  if (name == "pos") return std::make_unique<Pos>(seed);
  if (name == "surw") return std::make_unique<Surw>(seed);
  if (name == "rff") return std::make_unique<ReadsFrom>(seed);
  if (name == "systematic") return std::make_unique<Systematic>(seed);
  if (name == "fault-injection") return std::make_unique<FaultInjection>(seed);
  throw std::invalid_argument("there is no strategy " + name);
}

}  // namespace heddle
