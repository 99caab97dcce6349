// From a failing schedule to what a person needs to know about it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "explorer/analysis.h"
#include "explorer/deciding_pair.h"
#include "explorer/minimiser.h"
#include "explorer/model_run.h"
#include "trace_format/finding.h"

namespace heddle {

// Who touched what in a failing run, and which turns decide. The failing run is made again, as
// often as needed, from a copy of the start state.
class Explanation {
 public:
  using Run = std::function<RunOutcome(const Schedule&, const RunLimits&)>;
  using StackOf = std::function<std::vector<StackFrame>(ModelGuest&, TaskId)>;

  Explanation(Run run, StackOf stack, const Symbols& symbols, const AnalysedRun& recorded)
      : run_(std::move(run)), stack_(std::move(stack)), symbols_(symbols), recorded_(recorded) {}

  // `found`: before it was minimised. Fills in kind, consequence, fingerprint, sides, differences,
  // deciding and whether the two steps do decide.
  void explain(Finding& finding, const Minimised& minimised, const RunOutcome& failing,
               const Schedule& found) const;

 private:
  using Sides = DecidingPair;
  enum class Pairs : uint8_t { unordered, any };  // that are looked for
  // A pair that may decide, in a run with its points; the run outlives it.
  struct Candidate {
    const RunOutcome* run;
    Sides sides;
  };
  // The likeliest first. `as_found` is filled in where the run as found shows one.
  std::vector<Candidate> candidates_of(const RunOutcome& noted, RunOutcome& as_found,
                                       const Minimised& minimised, const RunOutcome& failing,
                                       const Schedule& found) const;
  void explain_sides(Finding& finding, const std::vector<Candidate>& candidates) const;
  std::optional<Sides> meeting(const RunOutcome& run, const Minimised& minimised,
                               Pairs pairs) const;
  std::optional<Sides> meeting_at(const RunOutcome& run, size_t step) const;
  // What others touch while a step keeps a task from going on to something that conflicts.
  std::optional<Sides> meeting_after(const RunOutcome& run, Pairs pairs) const;
  // What others touch of what a task had just touched when a step stopped it.
  std::optional<Sides> meeting_before(const RunOutcome& run, Pairs pairs) const;
  // The first pair of conflicting accesses of two tasks that came the other way round in a run that
  // passed; pairs that nothing orders before others. Indices into the failing run's points.
  std::optional<Sides> turned_round(const RunOutcome& failing, const RunOutcome& passing) const;
  static bool among(const std::vector<RaceCandidate>& pairs, const PassedPoint& a,
                    const PassedPoint& b);
  void explain_deadlock(Finding& finding, const Schedule& schedule,
                        const RunOutcome& failing) const;
  FindingSide side(const PassedPoint& point, const std::vector<StackFrame>& stack) const;
  // Of a run that sent a signal to a number that was free: that, and what had freed it.
  static std::optional<Sides> misdirected(const RunOutcome& failing);
  StackFrame frame(uint64_t pc) const;

  Run run_;
  StackOf stack_;
  const Symbols& symbols_;
  const AnalysedRun& recorded_;
};

// Line by line, what `actual` has in another way; `of` names the stream.
void add_differences(std::vector<Difference>& differences, const std::string& of,
                     const std::string& expected, const std::string& actual);

// "exit status 3", "signal 11".
std::string ending(int wait_status);

}  // namespace heddle
