#include "explorer/deciding_pair.h"

#include <algorithm>

namespace heddle {
namespace {

// Where the point's task is when it has made the access, if control does not go elsewhere.
Place after(const PassedPoint& point) {
  Place place = point.place;
  place.pc += point.length;
  place.phase = 0;
  return place;
}

Schedule first_steps(const Schedule& schedule, size_t count) {
  Schedule part = schedule;
  part.steps.resize(std::min(count, part.steps.size()));
  return part;
}

std::vector<Schedule> swapped(const RunOutcome& failing, const DecidingPair& pair) {
  const Schedule& schedule = failing.schedule;
  const PassedPoint &held = failing.points[pair.held], &other = failing.points[pair.other];
  std::vector<Schedule> candidates;
  if (pair.step) {
    // The step comes when the access is made; or never.
    Schedule later = schedule;
    later.steps[*pair.step].at = after(held);
    Schedule without = schedule;
    without.steps.erase(without.steps.begin() + static_cast<std::ptrdiff_t>(*pair.step));
    if (held.length != 0) candidates = {later, first_steps(later, *pair.step + 1)};
    candidates.push_back(std::move(without));
    candidates.push_back(first_steps(schedule, *pair.step));
    return candidates;
  }
  // The first one waits for the second.
  const auto before = std::ranges::count_if(failing.points_before_step,
                                            [&](size_t points) { return points <= pair.held; });
  const auto at = std::min(static_cast<size_t>(before), schedule.steps.size());
  Place in_front = held.place;
  in_front.phase = 0;
  Schedule waits = first_steps(schedule, at);
  waits.steps.push_back({in_front, other.place.task});
  waits.steps.push_back({after(other), held.place.task});
  Schedule goes_on = waits;
  goes_on.steps.insert(goes_on.steps.end(),
                       schedule.steps.begin() + static_cast<std::ptrdiff_t>(at),
                       schedule.steps.end());
  if (other.length != 0) candidates = {goes_on, waits};
  waits.steps.pop_back();
  candidates.push_back(std::move(waits));
  return candidates;
}

}  // namespace

std::vector<SwappedRun> swap(const RunOutcome& failing, const DecidingPair& pair,
                             const std::function<RunOutcome(const Schedule&)>& run) {
  std::vector<SwappedRun> runs;
  for (const Schedule& schedule : swapped(failing, pair)) {
    if (std::ranges::any_of(runs, [&](const SwappedRun& r) { return r.schedule == schedule; }))
      continue;
    RunOutcome outcome = run(schedule);
    runs.push_back({schedule, outcome.verdict, std::move(outcome.reason)});
    if (outcome.verdict == Verdict::same) break;
  }
  return runs;
}

}  // namespace heddle
