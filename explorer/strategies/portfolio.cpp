#include "explorer/strategies/portfolio.h"

#include <stdexcept>
#include <utility>

#include "explorer/strategies/race_directed.h"
#include "explorer/strategies/random_walk.h"

namespace heddle {

Portfolio::Portfolio(std::vector<std::unique_ptr<Strategy>> members, uint64_t head)
    : members_(std::move(members)), head_(head) {
  if (members_.empty()) throw std::invalid_argument("a portfolio needs a strategy");
}

void Portfolio::begin(uint64_t run) {
  if (run < head_) {
    member_ = 0;
    members_[0]->begin(run);
    return;
  }
  const uint64_t turn = run - head_;
  member_ = turn % members_.size();
  members_[member_]->begin(turn / members_.size() + (member_ == 0 ? head_ : 0));
}

std::unique_ptr<Portfolio> make_portfolio(uint64_t seed, std::vector<Target> targets,
                                          const Pct::Options& estimate) {
  std::vector<std::unique_ptr<Strategy>> members;
  const uint64_t head = 2 * targets.size();
  if (!targets.empty()) members.push_back(std::make_unique<RaceDirected>(seed, std::move(targets)));
  for (const uint32_t depth : {2u, 3u}) {
    Pct::Options options = estimate;
    options.depth = depth;
    members.push_back(std::make_unique<Pct>(seed + depth, options));
  }
  members.push_back(std::make_unique<RandomWalk>(seed));
  return std::make_unique<Portfolio>(std::move(members), head);
}

}  // namespace heddle
