#include "explorer/minimiser.h"

#include <algorithm>
#include <string>
#include <unordered_set>

namespace heddle {
namespace {

class Reduction {
 public:
  Reduction(const Schedule& schedule, const Fails& fails, const MinimiserOptions& options)
      : best_(schedule), fails_(fails), options_(options) {}

  Minimised run() {
    for (const Schedule& simple : options_.simple)
      if (simple.steps.size() < best_.steps.size() && accept(simple)) break;
    if (!best_.steps.empty() && !accept(Schedule{})) shorten();
    reduce();
    if (move_earlier()) reduce();
    Minimised result{best_, trials_, !exhausted_, {}, {}};
    find_deciding(result);
    return result;
  }

 private:
  void reduce() {
    bool changed = true;
    while (changed && !exhausted()) {
      ddmin();
      changed = hold_back();
      changed |= shorten();
      changed |= drop_extras();
    }
  }

  bool exhausted() const { return exhausted_; }

  // Tries `candidate`; makes it the best one if it fails.
  bool accept(const Schedule& candidate) {
    const std::string text = candidate.text();
    // What was tried and failed was the best one once: going back to it would be no progress.
    if (tried_.contains(text)) return false;
    if (trials_ >= options_.most_trials) {
      exhausted_ = true;
      return false;
    }
    ++trials_;
    tried_.insert(text);
    std::optional<Schedule> failed = fails_(candidate);
    if (!failed) return false;
    // No longer than it was; what else is made of a candidate of the same length is no progress.
    const bool shorter = failed->steps.size() < best_.steps.size();
    if (!shorter && *failed != candidate) return false;
    tried_.insert(failed->text());
    best_ = *std::move(failed);
    return true;
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

  // Signals, faults and holds that are not needed.
  bool drop_extras() {
    bool changed = false;
    const auto without = [&](size_t i, const auto& drop) {
      if (i >= best_.steps.size()) return;
      Schedule candidate = best_;
      drop(candidate.steps[i]);
      if (candidate != best_) changed |= accept(std::move(candidate));
    };
    for (size_t i = 0; i < best_.steps.size() && !exhausted(); ++i) {
      without(i, [](ScheduleStep& step) { step.signal = 0; });
      without(i, [](ScheduleStep& step) { step.fault = {}; });
      without(i, [](ScheduleStep& step) { step.holds = false; });
    }
    return changed;
  }

  // One step that holds its task back, in place of those that each let others go on instead.
  bool hold_back() {
    if (!options_.hold) return false;
    bool changed = false;
    for (size_t i = 0; i < best_.steps.size() && !exhausted(); ++i) {
      const ScheduleStep step = best_.steps[i];
      if (step.holds) continue;
      const bool goes_on = step.next == step.at.task;
      const auto stays = [](const ScheduleStep& s) { return s.next == s.at.task; };
      size_t named = i + 1;  // in another way
      while (named < best_.steps.size() &&
             (goes_on ? stays(best_.steps[named]) : best_.steps[named].next != step.at.task))
        ++named;
      const auto held = [&](size_t end, const auto& erased) {
        Schedule candidate = best_;
        candidate.steps[i].holds = true;
        const auto from = candidate.steps.begin() + static_cast<std::ptrdiff_t>(i + 1);
        const auto to = candidate.steps.begin() + static_cast<std::ptrdiff_t>(end);
        candidate.steps.erase(std::remove_if(from, to, erased), to);
        return candidate.steps.size() < best_.steps.size() && accept(std::move(candidate));
      };
      const auto any = [](const ScheduleStep&) { return true; };
      changed |= (named < best_.steps.size() && held(named + 1, any)) || held(named, any) ||
                 held(named, stays);
    }
    return changed;
  }

  // Each step to the earliest of its places: those before it are taken not to fail if one in the
  // middle does not.
  bool move_earlier() {
    if (!options_.earlier_places) return false;
    bool changed = false;
    for (size_t i = 0; i < best_.steps.size() && !exhausted(); ++i) {
      const std::vector<Place> places = options_.earlier_places(best_, i);
      const size_t steps = best_.steps.size();
      size_t from = 0, to = places.size();  // the earliest is among these, or the step's own
      while (from < to && !exhausted() && best_.steps.size() == steps) {
        const size_t middle = (from + to) / 2;
        Schedule candidate = best_;
        candidate.steps[i].at = places[middle];
        if (accept(std::move(candidate))) {
          changed = true;
          to = middle;
        } else {
          from = middle + 1;
        }
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
  const Fails& fails_;
  const MinimiserOptions& options_;
  std::unordered_set<std::string> tried_;
  uint64_t trials_ = 0;
  bool exhausted_ = false;
};

}  // namespace

Minimised minimise(const Schedule& schedule, const Fails& fails, const MinimiserOptions& options) {
  return Reduction(schedule, fails, options).run();
}

}  // namespace heddle
