#include "explorer/report/finding_text.h"

#include <cstdio>

#include "explorer/report/style.h"

namespace heddle::report {
namespace {

constexpr size_t kMostDifferences = 8;

std::string hexadecimal(uint64_t number) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(number));
  return text;
}

std::string source(const StackFrame& frame) {
  if (frame.file.empty()) return {};
  std::string text = printable(frame.file);
  if (frame.line != 0) text += ":" + std::to_string(frame.line);
  return text;
}

std::string position(const StackFrame& frame) {
  std::string text = frame.function.empty() ? hexadecimal(frame.pc) : printable(frame.function);
  const std::string where = source(frame);
  if (!where.empty())
    text += " " + where;
  else if (!frame.module.empty())
    text += " (" + printable(frame.module) + ")";
  return text;
}

std::string variable_of(const Finding& finding) {
  for (const FindingSide& side : finding.sides)
    if (!side.variable.empty()) return printable(side.variable);
  return {};
}

std::string side_text(const FindingSide& side, const Style& style) {
  std::string text =
      "  " + style(Emphasis::name, printable(side.who)) + ": " + printable(side.what);
  if (!side.variable.empty()) text += " of " + printable(side.variable);
  if (side.address != 0) text += " at " + hexadecimal(side.address);
  text += "\n";
  for (size_t i = 0; i < side.stack.size(); ++i)
    text += "    " + frame_text(i, side.stack[i]) + "\n";
  if (side.stack.empty()) text += "    (no stack)\n";
  return text;
}

std::string step_text(const DecidingStep& step) {
  return "  " + printable(step.who) + " " + printable(step.what) + " " + position(step.where) +
         "; thread " + std::to_string(step.next) + " goes on\n";
}

// Whether the run passes with the two steps the other way round, or else what can be said.
std::string swap_text(const Finding& finding) {
  if (!finding.swapped.empty())
    return "  the other way round it passes: --schedule " + printable(finding.swapped) + "\n";
  std::string text;
  if (!finding.either_order.empty())
    text =
        "  either order of these two fails: --schedule " + printable(finding.either_order) + "\n";
  else if (!finding.swaps_tried.empty())
    text = "  not confirmed: no run had these two the other way round\n";
  if (!finding.without_step.empty())
    text += "  with one step less it passes: --schedule " + printable(finding.without_step) + "\n";
  return text;
}

}  // namespace

std::string frame_text(size_t number, const StackFrame& frame) {
  return "#" + std::to_string(number) + " " + position(frame);
}

std::string finding_line(const Finding& finding) {
  std::string text = printable(finding.kind);
  if (const std::string variable = variable_of(finding); !variable.empty())
    text += " on " + variable;
  const char* separator = ": ";
  for (const FindingSide& side : finding.sides) {
    if (side.stack.empty()) continue;
    text += separator + position(side.stack.front());
    separator = " and ";
  }
  return text;
}

std::string finding_text(const Finding& finding, const std::string& replay_command, bool colour) {
  const Style style(colour);
  std::string text = style(Emphasis::bad, printable(finding.kind));
  if (const std::string variable = variable_of(finding); !variable.empty())
    text += style(Emphasis::heading, " on " + variable);
  if (!finding.consequence.empty()) text += ": " + printable(finding.consequence);
  text += "  " + style(Emphasis::dim, "[" + printable(finding.fingerprint) + "]") + "\n\n";

  for (const FindingSide& side : finding.sides) text += side_text(side, style) + "\n";

  if (!finding.differences.empty()) {
    text += style(Emphasis::heading, "what differed") + " (" + printable(finding.verdict) + ")\n";
    size_t shown = 0;
    for (const Difference& difference : finding.differences) {
      if (shown++ == kMostDifferences) {
        text += "  and " + grouped(finding.differences.size() - kMostDifferences) + " more\n";
        break;
      }
      text += "  " + printable(difference.of) + "\n";
      text += style(Emphasis::good, "    recorded  " + printable(difference.expected)) + "\n";
      text += style(Emphasis::bad, "    explored  " + printable(difference.actual)) + "\n";
    }
    text += "\n";
  }
  if (!finding.deciding.empty()) {
    text += style(Emphasis::heading, "what decides") + "\n";
    for (const DecidingStep& step : finding.deciding) text += step_text(step);
    text += swap_text(finding);
    text += "\n";
  }
  text += style(Emphasis::heading, "schedule") + "  " + finding.schedule.text() + "\n";
  text += "found by  " + printable(finding.strategy) + ", after " +
          counted(finding.schedules_tried, "schedule") + "; minimised from " +
          counted(finding.found_steps, "step") + " to " +
          std::to_string(finding.schedule.steps.size()) + "; ";
  text += finding.confirmed == 0
              ? "not run again"
              : "failed again in " + counted(finding.confirmed, "run") + " of this schedule";
  text += "\n";
  if (!replay_command.empty()) text += "replay    " + style(Emphasis::name, replay_command) + "\n";
  return text;
}

}  // namespace heddle::report
