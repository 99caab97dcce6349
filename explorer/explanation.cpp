#include "explorer/explanation.h"

#include <sys/wait.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace heddle {
namespace {

std::string who(TaskId task) {
  return "thread " + std::to_string(task);
}

std::string act(const PassedPoint& point) {
  const std::string bytes = std::to_string(point.size) + (point.size == 1 ? " byte" : " bytes");
  if (point.updates) return "update (load and store) of " + bytes;
  return (point.writes ? "write of " : "read of ") + bytes;
}

bool overlap(const PassedPoint& a, const PassedPoint& b) {
  return a.address < b.address + b.size && b.address < a.address + a.size;
}

}  // namespace

std::string ending(int status) {
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

void add_differences(std::vector<Difference>& differences, const std::string& of,
                     const std::string& expected, const std::string& actual) {
  if (expected == actual) return;
  std::istringstream left(expected), right(actual);
  for (size_t number = 1; left || right; ++number) {
    std::string a, b;
    const bool more_left = static_cast<bool>(std::getline(left, a));
    const bool more_right = static_cast<bool>(std::getline(right, b));
    if (!more_left && !more_right) break;
    if (more_left && more_right && a == b) continue;
    differences.push_back({"line " + std::to_string(number) + " of " + of,
                           more_left ? a : "(nothing)", more_right ? b : "(nothing)"});
  }
  if (differences.empty()) differences.push_back({of, expected, actual});
}

// The access that the step leaves half done, or just before, and the first one of another task
// that conflicts with it from there on.
std::optional<Explanation::Sides> Explanation::meeting_at(const RunOutcome& run,
                                                          size_t step) const {
  if (step >= run.points_before_step.size()) return std::nullopt;
  const Place& at = run.schedule.steps[step].at;
  const size_t from = run.points_before_step[step];
  // Its point may come later: where a tick brought the task there, it stopped before the point did.
  for (size_t held = run.points.size(); held-- > 0;) {
    const PassedPoint& mine = run.points[held];
    if (mine.place != at) continue;
    for (size_t other = from; other < run.points.size(); ++other) {
      const PassedPoint& theirs = run.points[other];
      if (theirs.place.task == at.task) break;
      if (overlap(mine, theirs) && (mine.writes || theirs.writes)) return Sides{held, other, step};
    }
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Explanation::Sides> Explanation::meeting(const RunOutcome& run,
                                                       const Minimised& minimised) const {
  // What was torn explains more than what was put off.
  for (const uint8_t phase : {1, 0}) {
    if (minimised.preempts && run.schedule.steps[*minimised.preempts].at.phase == phase)
      if (const auto found = meeting_at(run, *minimised.preempts)) return found;
    for (size_t step = run.schedule.steps.size(); step-- > 0;)
      if (run.schedule.steps[step].at.phase == phase)
        if (const auto found = meeting_at(run, step)) return found;
  }
  return std::nullopt;
}

StackFrame Explanation::frame(uint64_t pc) const {
  const auto site = symbols_.locate(pc);
  return {pc, site.function, site.file, site.line, site.module};
}

FindingSide Explanation::side(const PassedPoint& point,
                              const std::vector<StackFrame>& stack) const {
  FindingSide side;
  side.what = act(point);
  side.who = who(point.place.task);
  side.place = point.place;
  side.address = point.address;
  side.size = point.size;
  side.variable = symbols_.variable(point.address);
  side.stack = stack;
  return side;
}

void Explanation::explain(Finding& finding, const Minimised& minimised,
                          const RunOutcome& failing) const {
  RunLimits limits;
  limits.keep_points = true;
  const RunOutcome noted = run_(minimised.schedule, limits);
  if (const auto sides = meeting(noted, minimised)) {
    std::map<size_t, std::vector<StackFrame>> stacks;
    limits.at_point = [&](ModelGuest& guest, TaskId task, size_t index) {
      if (index == sides->held || index == sides->other) stacks[index] = stack_(guest, task);
    };
    run_(minimised.schedule, limits);
    const PassedPoint &held = noted.points[sides->held], &other = noted.points[sides->other];
    finding.sides = {side(held, stacks[sides->held]), side(other, stacks[sides->other])};

    const auto is_pair = [&](const RaceCandidate& race) {
      return std::minmax(race.first.place.pc, race.second.place.pc) ==
             std::minmax(held.place.pc, other.place.pc);
    };
    if (std::ranges::any_of(recorded_.races, is_pair)) finding.kind = "data race";
    const auto& step = noted.schedule.steps[sides->step];
    finding.deciding = {
        {who(held.place.task),
         held.place.phase == 1 ? "is stopped between the load and the store of"
                               : "is stopped before",
         step.at, frame(step.at.pc), step.next},
        {who(other.place.task), "performs", other.place, frame(other.place.pc), held.place.task}};
  } else if (!minimised.schedule.steps.empty()) {
    const auto& step = minimised.schedule.steps[minimised.preempts.value_or(0)];
    finding.deciding = {{who(step.at.task),
                         step.at.phase == 2   ? "waits or ends in"
                         : step.at.phase == 1 ? "is stopped between the load and the store of"
                                              : "is stopped before",
                         step.at, frame(step.at.pc), step.next}};
  }

  switch (failing.verdict) {
    case Verdict::deadlock:
      finding.kind = "deadlock";
      finding.consequence = failing.reason;
      break;
    case Verdict::hang:
      finding.kind = "hang";
      finding.consequence = failing.reason;
      break;
    default:
      if (failing.status != recorded_.status) {
        if (finding.kind.empty())
          finding.kind = WIFSIGNALED(failing.status) ? "crash" : "wrong exit status";
        finding.consequence = "the program ended with " + ending(failing.status) + " instead of " +
                              ending(recorded_.status);
        finding.differences.push_back(
            {"the end", ending(recorded_.status), ending(failing.status)});
      } else {
        if (finding.kind.empty()) finding.kind = "order-dependent output";
        finding.consequence = "the output differs from the recorded one";
      }
  }
  add_differences(finding.differences, "standard output", recorded_.output, failing.output);
  add_differences(finding.differences, "standard error", recorded_.error, failing.error);
  auto named = finding.sides;
  if (named.empty())
    for (const auto& step : finding.deciding) named.emplace_back().stack = {step.where};
  finding.fingerprint = Finding::fingerprint_of(finding.kind, named);
}

}  // namespace heddle
