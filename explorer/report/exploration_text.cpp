#include "explorer/report/exploration_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <utility>

#include "explorer/report/style.h"

namespace heddle::report {
namespace {

constexpr size_t kMostReasons = 5;

// By falling count, then by name.
std::vector<std::pair<std::string, uint64_t>> ranked(
    const std::map<std::string, uint64_t>& counts) {
  std::vector<std::pair<std::string, uint64_t>> list(counts.begin(), counts.end());
  std::ranges::stable_sort(list, std::greater<>{}, [](const auto& entry) { return entry.second; });
  return list;
}

std::string rate(uint64_t schedules, double seconds) {
  if (seconds <= 0) return "-";
  const double each_second = static_cast<double>(schedules) / seconds;
  if (each_second >= 100) return grouped(static_cast<uint64_t>(std::llround(each_second)));
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", each_second);
  return text;
}

std::string listed(const std::map<std::string, uint64_t>& counts) {
  std::string text;
  for (const auto& [name, count] : ranked(counts))
    text += (text.empty() ? "" : ", ") + grouped(count) + " " + printable(name);
  return text;
}

}  // namespace

std::string exploration_text(const ExplorationText& exploration, bool colour) {
  const Style style(colour);
  std::string text = style(Emphasis::heading, "explored") + "  " +
                     counted(exploration.schedules, "schedule") + " in " +
                     duration(exploration.seconds) + " (" +
                     rate(exploration.schedules, exploration.seconds) + "/s)";
  if (!exploration.stopped.empty()) text += "; stopped: " + printable(exploration.stopped);
  text += "\npairs     " + grouped(exploration.race_pairs) + " unordered, " +
          grouped(exploration.lock_ordered_pairs) + " ordered only by locks\n";
  if (exploration.without_effect > 0)
    text += "          " + grouped(exploration.without_effect) +
            " of the unordered ran in both orders and made no difference\n";
  if (!exploration.strategies.empty()) text += "by        " + listed(exploration.strategies) + "\n";
  if (!exploration.verdicts.empty()) text += "ended     " + listed(exploration.verdicts) + "\n";

  size_t shown = 0;
  uint64_t rest = 0;
  for (const auto& [reason, count] : ranked(exploration.infeasible)) {
    if (shown++ < kMostReasons)
      text += "  " + style(Emphasis::dim, "infeasible") + " " + grouped(count) + ": " +
              printable(reason) + "\n";
    else
      rest += count;
  }
  if (rest > 0)
    text += "  " + style(Emphasis::dim, "infeasible") + " " + grouped(rest) + ": other reasons\n";

  text += style(exploration.findings.empty() ? Emphasis::good : Emphasis::bad, "findings") + "  " +
          grouped(exploration.findings.size()) + "\n";
  for (const std::string& finding : exploration.findings) text += "  " + printable(finding) + "\n";
  return text;
}

std::string progress_line(uint64_t schedules, double seconds, uint64_t findings) {
  return counted(schedules, "schedule") + ", " + rate(schedules, seconds) + "/s, " +
         counted(findings, "finding");
}

std::string minimising_line(uint64_t runs, size_t steps) {
  return "minimising, " + counted(runs, "run") + ", " + counted(steps, "step");
}

}  // namespace heddle::report
