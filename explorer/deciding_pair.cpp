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

// Places from which a task may wait for the other one, before the access itself.
constexpr size_t kMostEarlier = 6;

Schedule with_step(Schedule schedule, const ScheduleStep& step) {
  schedule.steps.push_back(step);
  return schedule;
}

// How many steps come before a point.
size_t steps_before(const RunOutcome& run, size_t point) {
  const auto before =
      std::ranges::count_if(run.points_before_step, [&](size_t points) { return points <= point; });
  return std::min(static_cast<size_t>(before), run.schedule.steps.size());
}

// With the step of a schedule that puts the held access off.
std::vector<Schedule> made_before_step(const RunOutcome& failing, const DecidingPair& pair) {
  const Schedule& schedule = failing.schedule;
  const PassedPoint& held = failing.points[pair.held];
  std::vector<Schedule> candidates;
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
std::vector<Schedule> made_after(const RunOutcome& failing, const DecidingPair& pair) {
  const Schedule& schedule = failing.schedule;
  const PassedPoint &held = failing.points[pair.held], &other = failing.points[pair.other];
  std::vector<Schedule> candidates;
  if (held.place.task == other.place.task) return candidates;  // goroutines of one thread
  const size_t at = steps_before(failing, pair.held);
  Place in_front = held.place;
  in_front.phase = 0;
  Schedule waits = with_step(first_steps(schedule, at), {in_front, other.place.task});
  const ScheduleStep back{after(other), held.place.task};
  Schedule goes_on = with_step(waits, back);
  goes_on.steps.insert(goes_on.steps.end(),
                       schedule.steps.begin() + static_cast<std::ptrdiff_t>(at),
                       schedule.steps.end());
  if (other.length != 0) candidates = {goes_on, with_step(waits, back)};
  candidates.push_back(std::move(waits));
  // The step that follows the access comes in front of it.
  if (at < schedule.steps.size() && schedule.steps[at].at.task == held.place.task) {
    Schedule moved = first_steps(schedule, at + 1);
    moved.steps.back().at = in_front;
    candidates.push_back(with_step(moved, back));
    candidates.push_back(std::move(moved));
  }
  // It waits from earlier on.
  size_t looked_at = 0;
  for (size_t i = pair.held; i-- > 0 && looked_at < kMostEarlier;) {
    const PassedPoint& point = failing.points[i];
    if (point.place.task != held.place.task || point.place.phase != 0 || point.length == 0)
      continue;
    ++looked_at;
    const bool ready = std::ranges::count(point.others, other.place.task) > 0;
    if (!ready && point.others.empty()) continue;
    candidates.push_back(
        with_step(first_steps(schedule, steps_before(failing, i)),
                  {point.place, ready ? other.place.task : point.others.front(), 0, {}, true}));
  }
  return candidates;
}

std::vector<Schedule> swapped(const RunOutcome& failing, const DecidingPair& pair) {
  std::vector<Schedule> candidates =
      pair.step ? made_before_step(failing, pair) : made_after(failing, pair);
  for (size_t steps = failing.schedule.steps.size(); steps-- > 0;)
    if (steps + kMostEarlier >= failing.schedule.steps.size() || steps == 0)
      candidates.push_back(first_steps(failing.schedule, steps));
  return candidates;
}

bool same_access(const PassedPoint& a, const PassedPoint& b, bool same_task) {
  return a.place.pc == b.place.pc && a.place.phase == b.place.phase && a.address == b.address &&
         a.by_call == b.by_call && a.writes == b.writes &&
         (!same_task || a.place.task == b.place.task);
}

// The same execution of the same instruction on the same bytes in another run; null: there is none.
const PassedPoint* find_access(const RunOutcome& run, size_t index, const RunOutcome& other,
                               bool same_task) {
  const PassedPoint& wanted = run.points[index];
  const auto is_it = [&](const PassedPoint& point) {
    return same_access(point, wanted, same_task);
  };
  const auto end = run.points.begin() + static_cast<std::ptrdiff_t>(index);
  auto left = std::count_if(run.points.begin(), end, is_it);
  for (const PassedPoint& point : other.points)
    if (is_it(point) && left-- == 0) return point.performed != 0 ? &point : nullptr;
  return nullptr;
}

}  // namespace

bool turned(const RunOutcome& failing, const DecidingPair& pair, const RunOutcome& run) {
  // Goroutines may be on any thread; where both were on one, on another one.
  const bool tasks = failing.points[pair.held].place.task != failing.points[pair.other].place.task;
  const bool put_off = pair.step.has_value();
  const PassedPoint* first = find_access(failing, put_off ? pair.held : pair.other, run, tasks);
  const PassedPoint* second = find_access(failing, put_off ? pair.other : pair.held, run, tasks);
  if (first) return !second || first->performed < second->performed;
  // A run that is stopped right behind an access need not have stopped at it.
  const Place behind = after(failing.points[put_off ? pair.held : pair.other]);
  for (size_t step = 0; step < run.points_before_step.size(); ++step)
    if (run.schedule.steps[step].at == behind)
      return !second ||
             static_cast<size_t>(second - run.points.data()) >= run.points_before_step[step];
  return false;
}

std::vector<SwappedRun> swap(const RunOutcome& failing, const DecidingPair& pair,
                             const std::function<RunOutcome(const Schedule&)>& run) {
  std::vector<SwappedRun> runs;
  for (const Schedule& schedule : swapped(failing, pair)) {
    if (std::ranges::any_of(runs, [&](const SwappedRun& r) { return r.schedule == schedule; }))
      continue;
    RunOutcome outcome = run(schedule);
    const bool is_turned = turned(failing, pair, outcome);
    runs.push_back({schedule, outcome.verdict, std::move(outcome.reason), is_turned});
    if (is_turned && outcome.verdict == Verdict::same) break;
  }
  return runs;
}

}  // namespace heddle
