// A random walk over access points.
#pragma once

#include <random>
#include <vector>

#include "machine/scheduler.h"

namespace heddle {

// At an access point of a racing pair another runnable task is chosen, uniformly, with a
// probability drawn anew for each run; elsewhere a task runs until it blocks. The random walk is
// the baseline of the field (Burckhardt et al., ASPLOS 2010, section 2); restricting it to racing
// accesses is active random testing (Sen, PLDI 2008).
class RandomAtAccesses final : public Scheduler {
 public:
  explicit RandomAtAccesses(uint64_t seed) : seed_(seed) {}
  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;

 private:
  uint64_t draw(uint64_t below);

  uint64_t seed_;
  std::mt19937_64 random_;
  uint64_t switch_percent_ = 30;
  TaskId held_ = 0;        // kept in front of, or inside, a racing access
  uint64_t patience_ = 0;  // decisions for which it still is
};

}  // namespace heddle
