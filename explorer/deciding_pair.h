// Do two accesses decide a failure? They do where the run passes with the two the other way round.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "explorer/model_run.h"

namespace heddle {

// The two accesses of a failing run, as indices of its points: `held` is the one that a step of the
// schedule puts off, or, without such a step, the one that came first.
struct DecidingPair {
  size_t held = 0, other = 0;
  std::optional<size_t> step;
};

// A run with the two swapped.
struct SwappedRun {
  Schedule schedule;
  Verdict verdict = Verdict::same;
  std::string reason;
};

// Runs that have the two accesses the other way round and are otherwise as the failing one, as far
// as that can be: the accesses are made one directly after the other, then the schedule goes on as
// before, or by the default rule where it cannot. The last one has passed, or none has.
std::vector<SwappedRun> swap(const RunOutcome& failing, const DecidingPair& pair,
                             const std::function<RunOutcome(const Schedule&)>& run);

}  // namespace heddle
