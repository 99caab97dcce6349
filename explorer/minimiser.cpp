#include "explorer/minimiser.h"

#include <algorithm>
#include <string>
#include <unordered_set>

namespace heddle {
namespace {

class Reduction {
 public:
  Reduction(const Schedule& schedule, const std::function<bool(const Schedule&)>& fails,
            const MinimiserOptions& options)
      : best_(schedule), fails_(fails), options_(options) {}

  Minimised run() {
    for (const Schedule& simple : options_.simple)
      if (simple.steps.size() < best_.steps.size() && accept(simple)) break;
    if (!best_.steps.empty() && !accept(Schedule{})) shorten();
    ddmin();
    bool changed = true;
    while (changed && !exhausted()) {
      changed = shorten();
      changed |= drop_extras();
      changed |= move_earlier();
      if (changed) ddmin();
    }
    Minimised result{best_, trials_, !exhausted_, {}, {}};
    find_deciding(result);
    return result;
  }

 private:
  bool exhausted() const { return exhausted_; }

  // Tries `candidate`; makes it the best one if it fails.
  bool accept(Schedule candidate) {
    const std::string text = candidate.text();
    // What was tried and failed was the best one once: going back to it would be no progress.
    if (tried_.contains(text)) return false;
    if (trials_ >= options_.most_trials) {
      exhausted_ = true;
      return false;
    }
    ++trials_;
    tried_.insert(text);
    const bool failed = fails_(candidate);
    if (failed) best_ = std::move(candidate);
    return failed;
  }

  Schedule range(size_t from, size_t to, bool complement) const {
    Schedule part;
    for (size_t i = 0; i < best_.steps.size(); ++i)
      if ((i >= from && i < to) != complement) part.steps.push_back(best_.steps[i]);
    return part;
  }

  void ddmin() {
    if (best_.steps.empty() || accept(Schedule{})) return;
    size_t parts = std::min<size_t>(2, best_.steps.size());
    while (!best_.steps.empty() && !exhausted()) {
      const size_t size = best_.steps.size();
      bool reduced = false;
      for (const bool complement : {false, true}) {
        // With two parts the complements are the parts.
        if (complement && parts == 2 && size > 1) break;
        for (size_t part = 0; part < parts && !reduced; ++part) {
          const size_t from = size * part / parts;
          const size_t to = size * (part + 1) / parts;
          if (!accept(range(from, to, complement))) continue;
          parts = complement ? std::max<size_t>(parts - 1, 2) : 2;
          reduced = true;
        }
        if (reduced) break;
      }
      if (!reduced) {
        if (parts >= size) return;
        parts = std::min(2 * parts, size);
      }
      parts = std::max<size_t>(1, std::min(parts, best_.steps.size()));
    }
  }

  // Goes on at once with whom a later step chose, and leaves out what lies between: many steps that
  // each let some task wait a little longer become one.
  bool shorten() {
    bool changed = false;
    for (size_t length = best_.steps.size() / 2; length > 0 && !exhausted(); length /= 2) {
      for (size_t i = 0; i + length < best_.steps.size() && !exhausted();) {
        Schedule candidate = best_;
        const auto from = candidate.steps.begin() + static_cast<std::ptrdiff_t>(i);
        const auto to = from + static_cast<std::ptrdiff_t>(length);
        from->next = to->next;
        candidate.steps.erase(from + 1, to + 1);
        if (accept(std::move(candidate)))
          changed = true;
        else
          i += std::max<size_t>(length / 2, 1);
      }
    }
    return changed;
  }

  bool drop_extras() {
    bool changed = false;
    for (size_t i = 0; i < best_.steps.size() && !exhausted(); ++i) {
      const bool has_signal = best_.steps[i].signal != 0;
      const bool has_fault = best_.steps[i].fault.kind != FaultKind::none;
      if (has_signal) {
        Schedule candidate = best_;
        candidate.steps[i].signal = 0;
        changed |= accept(std::move(candidate));
      }
      if (has_fault) {
        Schedule candidate = best_;
        candidate.steps[i].fault = {};
        changed |= accept(std::move(candidate));
      }
    }
    return changed;
  }

  bool move_earlier() {
    if (!options_.earlier_places) return false;
    bool changed = false;
    for (size_t i = 0; i < best_.steps.size() && !exhausted(); ++i) {
      for (const Place& place : options_.earlier_places(best_.steps[i])) {
        // Only ever back in the task's own time, so that this comes to an end.
        const Place& at = best_.steps[i].at;
        if (place.task != at.task || place.ticks > at.ticks ||
            (place.ticks == at.ticks && place.pc == at.pc && place.phase >= at.phase) ||
            (place.ticks == at.ticks && place.pc > at.pc))
          continue;
        Schedule candidate = best_;
        candidate.steps[i].at = place;
        if (accept(std::move(candidate))) {
          changed = true;
          break;
        }
        if (exhausted()) break;
      }
    }
    return changed;
  }

  static void find_deciding(Minimised& result) {
    const std::vector<ScheduleStep>& steps = result.schedule.steps;
    const auto preempts = [](const ScheduleStep& step) { return step.at.phase != 2; };
    for (size_t i = steps.size(); i-- > 0;) {
      if (!preempts(steps[i])) continue;
      for (size_t j = i + 1; j < steps.size(); ++j) {
        if (steps[j].next != steps[i].at.task) continue;
        result.preempts = i;
        result.resumes = j;
        return;
      }
    }
    // None is given back by a step: the last one that takes a task away, whatever follows it.
    for (size_t i = steps.size(); i-- > 0;) {
      if (!preempts(steps[i]) && i > 0) continue;
      result.preempts = i;
      return;
    }
  }

  Schedule best_;
  const std::function<bool(const Schedule&)>& fails_;
  const MinimiserOptions& options_;
  std::unordered_set<std::string> tried_;
  uint64_t trials_ = 0;
  bool exhausted_ = false;
};

}  // namespace

Minimised minimise(const Schedule& schedule, const std::function<bool(const Schedule&)>& fails,
                   const MinimiserOptions& options) {
  return Reduction(schedule, fails, options).run();
}

}  // namespace heddle
