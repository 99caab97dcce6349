#include "explorer/explanation.h"

#include <errno.h>
#include <sys/wait.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <tuple>

#include "explorer/heap_blocks.h"
#include "explorer/kernel_accesses.h"
#include "explorer/output_oracle.h"
#include "explorer/signal_accesses.h"
#include "machine/syscalls/table.h"

namespace heddle {
namespace {

std::string who(TaskId task) {
  return "thread " + std::to_string(task);
}

std::string act(const PassedPoint& point) {
  if (point.by_call == kFreed) return "free of a block of " + std::to_string(point.size) + " bytes";
  if (point.by_call != 0) {
    const Syscall* call = find(point.by_call - 1u);
    const std::string name = call ? call->name : "a system call";
    if (process_at(point.address)) return (point.writes ? "end of it by " : "use by ") + name;
    if (descriptor_at(point.address) || is_signal_location(point.address))
      return (point.writes ? "change by " : "use by ") + name;
    return (point.writes ? "write of " : "read of ") + std::to_string(point.size) +
           (point.size == 1 ? " byte" : " bytes") + " by the kernel for " + name;
  }
  const std::string bytes = std::to_string(point.size) + (point.size == 1 ? " byte" : " bytes");
  if (point.updates) return "update (load and store) of " + bytes;
  return (point.writes ? "write of " : "read of ") + bytes;
}

bool conflict(const PassedPoint& a, const PassedPoint& b) {
  return (a.writes || b.writes) && a.address < b.address + b.size && b.address < a.address + a.size;
}

// Is the point at the place of a schedule's step? That of a task that waits is its call's.
bool is_at(const PassedPoint& point, Place at) {
  if (at.phase == 2) {
    if (point.by_call == 0) return false;
    at.phase = 0;
  }
  return point.place == at;
}

// What the step does to its task.
std::string stopped(const ScheduleStep& step) {
  if (step.fault.kind != FaultKind::none) return "gets the injected fault in";
  if (step.signal != 0) return "gets signal " + std::to_string(step.signal) + " before";
  if (step.at.phase == 2) return "waits or ends in";
  if (step.holds && step.at.phase == 0) return "is held back before";
  return step.at.phase == 1 ? "is stopped between the load and the store of" : "is stopped before";
}

// "read of thread 2 gets EINTR"
std::string happened(const InjectedFault& injected) {
  const Syscall* known = find(injected.call);
  std::string text =
      (known ? known->name : std::string("a system call")) + " of " + who(injected.place.task);
  switch (injected.fault.kind) {
    case FaultKind::none:
      break;
    case FaultKind::interrupted:
      return text + " gets EINTR";
    case FaultKind::short_transfer:
      return text + " moves only " + std::to_string(injected.result) +
             (injected.result == 1 ? " byte" : " bytes");
    case FaultKind::no_memory:
      return text + (injected.result == -EAGAIN ? " gets EAGAIN" : " gets ENOMEM");
    case FaultKind::late:
      return text + " finds nothing ready yet";
    case FaultKind::wake_choice:
      return text + " wakes the waiter that came as number " +
             std::to_string(injected.fault.argument + 1) + " first";
  }
  return text;
}

// Of one granule, that are compared with a later access.
constexpr size_t kMostEarlier = 16;
// Of a task that a step stopped, that are compared with what others do meanwhile.
constexpr size_t kNextAccesses = 8;
constexpr size_t kNextUnordered = 100;  // likewise, where nothing orders them

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
    if (!is_at(mine, at)) continue;
    for (size_t other = from; other < run.points.size(); ++other) {
      const PassedPoint& theirs = run.points[other];
      // After a signal the handler is first, until the thread itself goes on.
      const bool interrupts = run.schedule.steps[step].signal != 0;
      if (theirs.place.task == at.task && (!interrupts || theirs.place.pc == at.pc)) break;
      if (conflict(mine, theirs)) return Sides{held, other, step};
    }
  }
  return std::nullopt;
}

std::optional<Explanation::Sides> Explanation::meeting(const RunOutcome& run,
                                                       const Minimised& minimised,
                                                       Pairs pairs) const {
  const auto wanted = [&](const std::optional<Sides>& found) {
    return found && (pairs == Pairs::any ||
                     among(recorded_.races, run.points[found->held], run.points[found->other]));
  };
  // What was torn explains more than what was put off.
  for (const uint8_t phase : {1, 0}) {
    if (minimised.preempts && run.schedule.steps[*minimised.preempts].at.phase == phase)
      if (const auto found = meeting_at(run, *minimised.preempts); wanted(found)) return found;
    for (size_t step = run.schedule.steps.size(); step-- > 0;)
      if (run.schedule.steps[step].at.phase == phase)
        if (const auto found = meeting_at(run, step); wanted(found)) return found;
  }
  return std::nullopt;
}

std::optional<Explanation::Sides> Explanation::meeting_after(const RunOutcome& run,
                                                             Pairs pairs) const {
  const size_t most = pairs == Pairs::unordered ? kNextUnordered : kNextAccesses;
  for (size_t step = run.points_before_step.size(); step-- > 0;) {
    const ScheduleStep& stopped = run.schedule.steps[step];
    if (stopped.next == stopped.at.task) continue;
    const size_t from = run.points_before_step[step];
    size_t looked_at = 0;
    for (size_t held = from; held < run.points.size() && looked_at < most; ++held) {
      if (run.points[held].place.task != stopped.at.task) continue;
      ++looked_at;
      for (size_t other = from; other < held; ++other)
        if (run.points[other].place.task != stopped.at.task &&
            conflict(run.points[held], run.points[other]) &&
            (pairs == Pairs::any || among(recorded_.races, run.points[held], run.points[other])))
          return Sides{held, other, step};
    }
  }
  return std::nullopt;
}

std::optional<Explanation::Sides> Explanation::meeting_before(const RunOutcome& run,
                                                              Pairs pairs) const {
  for (size_t step = run.points_before_step.size(); step-- > 0;) {
    const TaskId task = run.schedule.steps[step].at.task;
    const size_t from = run.points_before_step[step];
    size_t looked_at = 0;
    for (size_t held = from; held-- > 0 && looked_at < kNextAccesses;) {
      const PassedPoint& mine = run.points[held];
      if (mine.place.task != task) continue;
      ++looked_at;
      for (size_t other = from; other < run.points.size(); ++other) {
        const PassedPoint& theirs = run.points[other];
        if (theirs.place.task == task) break;
        if (conflict(mine, theirs) && (pairs == Pairs::any || among(recorded_.races, mine, theirs)))
          return Sides{held, other, {}};
      }
    }
  }
  return std::nullopt;
}

bool Explanation::among(const std::vector<RaceCandidate>& pairs, const PassedPoint& a,
                        const PassedPoint& b) {
  return std::ranges::any_of(pairs, [&](const RaceCandidate& pair) {
    return std::minmax(pair.first.place.pc, pair.second.place.pc) ==
           std::minmax(a.place.pc, b.place.pc);
  });
}

std::optional<Explanation::Sides> Explanation::turned_round(const RunOutcome& failing,
                                                            const RunOutcome& passing) const {
  // Which execution of which instruction, on which bytes.
  using Key = std::tuple<TaskId, uint64_t, uint64_t, size_t>;
  const auto keys_of = [](const RunOutcome& run) {
    std::map<std::tuple<TaskId, uint64_t, uint64_t>, size_t> times;
    std::vector<Key> keys;
    for (const PassedPoint& point : run.points) {
      const size_t time = times[{point.place.task, point.place.pc, point.address}]++;
      keys.emplace_back(point.place.task, point.place.pc, point.address, time);
    }
    return keys;
  };
  const std::vector<Key> keys = keys_of(failing), passing_keys = keys_of(passing);
  std::map<Key, size_t> passed;
  for (size_t i = 0; i < passing_keys.size(); ++i) passed.emplace(passing_keys[i], i);

  std::map<uint64_t, std::vector<size_t>> by_granule;
  std::optional<Sides> ordered;
  for (size_t later = 0; later < failing.points.size(); ++later) {
    const PassedPoint& second = failing.points[later];
    if (second.size == 0) continue;
    const auto at = passed.find(keys[later]);
    auto& earlier = by_granule[second.address / kGranuleBytes];
    for (size_t i = 0; at != passed.end() && i < earlier.size(); ++i) {
      const PassedPoint& first = failing.points[earlier[i]];
      if (first.place.task == second.place.task || !conflict(first, second)) continue;
      const auto before = passed.find(keys[earlier[i]]);
      if (before != passed.end() && before->second < at->second) continue;
      const Sides sides{earlier[i], later, {}};
      if (among(recorded_.races, first, second)) return sides;
      if (!ordered && among(recorded_.lock_ordered, first, second)) ordered = sides;
    }
    earlier.push_back(later);
    if (earlier.size() > kMostEarlier) earlier.erase(earlier.begin());
  }
  return ordered;
}

std::optional<Explanation::Sides> Explanation::misdirected(const RunOutcome& failing) {
  for (size_t sent = failing.points.size(); sent-- > 0;) {
    const PassedPoint& use = failing.points[sent];
    if (!process_at(use.address) || use.writes) continue;
    for (size_t freed = sent; freed-- > 0;)
      if (failing.points[freed].writes && conflict(failing.points[freed], use))
        return Sides{freed, sent, {}};
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
  for (const StackFrame& frame : stack)
    if (frame.function == "<signal handler called>") side.who = "a signal handler on " + side.who;
  side.place = point.place;
  side.address = point.address;
  side.size = point.size;
  side.variable = symbols_.variable(point.address);
  if (side.variable.empty()) side.variable = location_name(point.address, point.size);
  side.stack = stack;
  return side;
}

// What kind it is, and where each thread waits.
void Explanation::explain_deadlock(Finding& finding, const Schedule& schedule,
                                   const RunOutcome& failing) const {
  std::map<TaskId, std::vector<StackFrame>> waiting;
  RunLimits limits;
  limits.at_deadlock = [&](ModelGuest& guest, TaskId task) { waiting[task] = stack_(guest, task); };
  run_(schedule, limits);
  bool for_condition = false, for_signal = false;
  std::string places;
  for (const auto& [task, stack] : waiting) {
    for_condition |= std::ranges::any_of(stack, [](const StackFrame& frame) {
      return frame.function.find("pthread_cond_") != std::string::npos ||
             frame.function.find("cnd_") == 0;
    });
    // It had a signal, and waits for one.
    for_signal |= std::ranges::any_of(failing.events, [task = task](const Event& event) {
      return std::holds_alternative<event::Signal>(event.body) && event.place.task == task;
    });
    const auto own = std::ranges::find_if(stack, [this](const StackFrame& frame) {
      return frame.line != 0 && symbols_.library(frame.pc).empty();
    });
    if (own != stack.end())
      places += (places.empty() ? "" : ", ") + who(task) + " in " + own->function + " " +
                own->file + ":" + std::to_string(own->line);
  }
  const bool cycle = failing.reason.find(", which thread ") != std::string::npos;
  for_signal &= failing.reason.find("a signal (") != std::string::npos;
  finding.kind = cycle           ? "deadlock"
                 : for_signal    ? "lost signal"
                 : for_condition ? "lost wake-up"
                                 : "deadlock";
  finding.consequence = failing.reason + (places.empty() ? "" : ": " + places);
}

std::vector<Explanation::Candidate> Explanation::candidates_of(const RunOutcome& noted,
                                                               RunOutcome& as_found,
                                                               const Minimised& minimised,
                                                               const RunOutcome& failing,
                                                               const Schedule& found) const {
  RunLimits limits;
  limits.keep_points = true;
  std::vector<Candidate> candidates;
  const auto add = [&](const RunOutcome& run, const std::optional<Sides>& sides) {
    const auto same = [&](const Candidate& c) {
      return c.run == &run && c.sides.held == sides->held && c.sides.other == sides->other;
    };
    if (sides && std::ranges::none_of(candidates, same)) candidates.push_back({&run, *sides});
  };
  add(noted, meeting(noted, minimised, Pairs::unordered));
  // Fewer steps may do without a stop at a race that the run as found had one at. Who waits does so
  // for what comes last, not for what a race did before.
  const bool waits = failing.verdict == Verdict::deadlock || failing.verdict == Verdict::hang;
  if (candidates.empty() && !waits) {
    as_found = run_(found, limits);
    add(as_found, meeting(as_found, {found, 0, false, {}, {}}, Pairs::unordered));
  }
  const RunOutcome plain = run_({}, limits);
  std::optional<Sides> turned;
  if (plain.verdict == Verdict::same) turned = turned_round(noted, plain);
  if (turned && !waits &&
      among(recorded_.races, noted.points[turned->held], noted.points[turned->other]))
    add(noted, turned);
  add(noted, meeting(noted, minimised, Pairs::any));
  add(noted, turned);
  if (failing.reason.starts_with(kMisdirected)) add(noted, misdirected(noted));
  for (const Pairs pairs : {Pairs::unordered, Pairs::any}) {
    if (!waits) add(noted, meeting_before(noted, pairs));
    add(noted, meeting_after(noted, pairs));
  }
  return candidates;
}

// The first pair that decides, that is, without which it passes; if there is none, the first. One
// that nothing orders gives way to no other.
void Explanation::explain_sides(Finding& finding, const std::vector<Candidate>& candidates) const {
  RunLimits limits;
  limits.keep_points = true;
  const auto unordered = [this](const Candidate& c) {
    return among(recorded_.races, c.run->points[c.sides.held], c.run->points[c.sides.other]);
  };
  const Candidate* chosen = nullptr;
  std::vector<SwappedRun> swaps;
  for (const Candidate& candidate : candidates) {
    if (chosen && unordered(*chosen) && !unordered(candidate)) continue;
    auto runs = swap(*candidate.run, candidate.sides,
                     [&](const Schedule& schedule) { return run_(schedule, limits); });
    const bool decides =
        !runs.empty() && runs.back().turned && runs.back().verdict == Verdict::same;
    if (chosen && !decides) continue;
    chosen = &candidate;
    swaps = std::move(runs);
    if (decides) break;
  }
  for (const SwappedRun& run : swaps) {
    const std::string text = run.schedule.text();
    const bool passes = run.verdict == Verdict::same;
    if (passes && run.turned)
      finding.swapped = text;
    else if (passes && finding.without_step.empty())
      finding.without_step = text;
    else if (!passes && run.turned && run.verdict != Verdict::infeasible)
      finding.either_order = text;
    if (!passes)
      finding.swaps_tried.push_back(text + ": " + std::string(name(run.verdict)) +
                                    (run.reason.empty() ? "" : ", " + run.reason));
  }
  if (!finding.swapped.empty()) finding.without_step = finding.either_order = {};

  const RunOutcome& noted = *chosen->run;
  const Sides& sides = chosen->sides;
  std::map<size_t, std::vector<StackFrame>> stacks;
  limits.at_point = [&](ModelGuest& guest, TaskId task, size_t index) {
    if (index == sides.held || index == sides.other) stacks[index] = stack_(guest, task);
  };
  run_(noted.schedule, limits);
  const PassedPoint &held = noted.points[sides.held], &other = noted.points[sides.other];
  finding.sides = {side(held, stacks[sides.held]), side(other, stacks[sides.other])};
  if (unordered(*chosen)) finding.kind = "data race";
  if (held.place.task == other.place.task) finding.kind = "signal race";
  const DecidingStep performed{who(other.place.task), "performs", other.place,
                               frame(other.place.pc), held.place.task};
  DecidingStep before{who(held.place.task), "performs", held.place, frame(held.place.pc),
                      other.place.task};
  if (sides.step) {
    const auto& step = noted.schedule.steps[*sides.step];
    before = {who(held.place.task), stopped(step), step.at, frame(step.at.pc), step.next};
  }
  finding.deciding = {before, performed};
}

void Explanation::explain(Finding& finding, const Minimised& minimised, const RunOutcome& failing,
                          const Schedule& found) const {
  RunLimits limits;
  limits.keep_points = true;
  const RunOutcome noted = run_(minimised.schedule, limits);
  RunOutcome as_found;
  const std::vector<Candidate> candidates =
      candidates_of(noted, as_found, minimised, failing, found);
  if (!candidates.empty()) {
    explain_sides(finding, candidates);
  } else if (!minimised.schedule.steps.empty()) {
    const size_t at = minimised.preempts.value_or(0);
    const auto& step = minimised.schedule.steps[at];
    finding.deciding = {{who(step.at.task), stopped(step), step.at, frame(step.at.pc), step.next}};
    Schedule without = minimised.schedule;
    without.steps.erase(without.steps.begin() + static_cast<std::ptrdiff_t>(at));
    for (const Schedule& schedule : {without, Schedule{}})
      if (finding.without_step.empty() && run_(schedule, {}).verdict == Verdict::same)
        finding.without_step = schedule.text();
  }

  switch (failing.verdict) {
    case Verdict::deadlock:
      explain_deadlock(finding, minimised.schedule, failing);
      break;
    case Verdict::hang:
      finding.kind = failing.reason.starts_with("livelock") ? "livelock" : "hang";
      finding.consequence = failing.reason.substr(
          finding.kind == "livelock" ? std::string_view("livelock: ").size() : 0);
      break;
    default:
      if (failing.reason.starts_with("use after free") ||
          failing.reason.starts_with("double free")) {
        const size_t colon = failing.reason.find(": ");
        finding.kind = failing.reason.substr(0, colon);
        finding.consequence = failing.reason.substr(colon + 2);
      } else if (failing.reason.starts_with(kMisdirected)) {
        finding.kind = kMisdirected;
        finding.consequence = failing.reason.substr(kMisdirected.size() + 2);
      } else if (failing.status != recorded_.status) {
        if (finding.kind.empty())
          finding.kind = WIFSIGNALED(failing.status) ? "crash" : "wrong exit status";
        finding.consequence = "the program ended with " + ending(failing.status) + " instead of " +
                              ending(recorded_.status);
        if (const auto go = go_failure(failing.error); !go.empty())
          finding.consequence += " (" + go + ")";
        finding.differences.push_back(
            {"the end", ending(recorded_.status), ending(failing.status)});
      } else {
        if (finding.kind.empty()) finding.kind = "order-dependent output";
        finding.consequence = "the output differs from the recorded one";
      }
  }
  // Whoever cannot meet that fault may be right: it comes first.
  std::string injected;
  for (const InjectedFault& fault : failing.faults)
    injected += (injected.empty() ? "with an injected fault (" : ", ") + happened(fault);
  if (!injected.empty()) {
    finding.kind = "unhandled fault";
    finding.consequence = injected + ") " + finding.consequence;
  }
  add_differences(finding.differences, "standard output", recorded_.output, failing.output);
  add_differences(finding.differences, "standard error", recorded_.error, failing.error);
  auto named = finding.sides;
  if (named.empty())
    for (const auto& step : finding.deciding) named.emplace_back().stack = {step.where};
  finding.fingerprint = Finding::fingerprint_of(finding.kind, named);
}

}  // namespace heddle
