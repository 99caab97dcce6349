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

// A run that was to have the two swapped.
struct SwappedRun {
  Schedule schedule;
  Verdict verdict = Verdict::same;
  std::string reason;
  bool turned = false;  // it had
};

// Runs that are to have the two accesses the other way round and are otherwise as the failing one,
// as far as that can be: the accesses are made one directly after the other, then the schedule goes
// on as before, or by the default rule where it cannot; or the first one's task waits from an
// earlier access on, where it holds no lock that the other one needs; or the schedule ends earlier.
// The last one was turned and has passed, or none was that did. `run` keeps the points.
std::vector<SwappedRun> swap(const RunOutcome& failing, const DecidingPair& pair,
                             const std::function<RunOutcome(const Schedule&)>& run);

// Did `run` perform the two in the other order than the failing run did?
bool turned(const RunOutcome& failing, const DecidingPair& pair, const RunOutcome& run);

}  // namespace heddle
