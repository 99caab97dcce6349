#include "explorer/suppressions.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace heddle {
namespace {

constexpr std::string_view kTypes[] = {"race",  "race_top", "signal",         "deadlock",
                                       "mutex", "thread",   "called_from_lib"};

std::string_view trimmed(std::string_view text) {
  const auto from = text.find_first_not_of(" \t\r");
  if (from == text.npos) return {};
  return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

// The whole of `text`, * standing for anything. The last * takes what is needed (no recursion).
bool glob(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = pattern.npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

bool suppression_pattern_matches(std::string_view pattern, std::string_view text) {
  if (text.empty()) return false;
  std::string whole(pattern);
  if (whole.starts_with('^'))
    whole.erase(0, 1);
  else
    whole.insert(0, "*");
  if (whole.ends_with('$'))
    whole.pop_back();
  else
    whole += "*";
  return glob(whole, text);
}

Suppressions Suppressions::parse(std::string_view text, const std::string& source) {
  Suppressions suppressions;
  size_t number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = text.find('\n');
    const std::string_view line = trimmed(text.substr(0, end));
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    if (line.empty() || line.starts_with('#')) continue;
    const size_t colon = line.find(':');
    const std::string_view type = line.substr(0, colon);
    const std::string where = source + ":" + std::to_string(number) + ": ";
    if (std::ranges::find(kTypes, type) == std::end(kTypes))
      throw std::runtime_error(where + "'" + std::string(line) +
                               "' is no suppression; write race:, race_top:, signal:, deadlock: or "
                               "called_from_lib: and a pattern");
    const std::string_view pattern = line.substr(colon + 1);
    if (colon == line.npos || pattern.empty())
      throw std::runtime_error(where + "a pattern is missing after '" + std::string(type) + "'");
    suppressions.rules_.push_back({std::string(type), std::string(pattern)});
  }
  return suppressions;
}

Suppressions Suppressions::read(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error(file + ": the suppression file is not readable");
  std::ostringstream text;
  text << in.rdbuf();
  return parse(text.str(), file);
}

bool Suppressions::matches(const Rule& rule, const std::vector<StackFrame>& stack) {
  const bool library = rule.type == "called_from_lib";
  const size_t frames = rule.type == "race_top" ? std::min<size_t>(stack.size(), 1) : stack.size();
  return std::any_of(stack.begin(), stack.begin() + static_cast<std::ptrdiff_t>(frames),
                     [&](const StackFrame& frame) {
                       const auto fits = [&](const std::string& name) {
                         return suppression_pattern_matches(rule.pattern, name);
                       };
                       return fits(frame.module) ||
                              (!library && (fits(frame.function) || fits(frame.file)));
                     });
}

bool Suppressions::match(Of of, const std::vector<std::vector<StackFrame>>& stacks) const {
  return std::ranges::any_of(rules_, [&](const Rule& rule) {
    const bool about_races =
        rule.type == "race" || rule.type == "race_top" || rule.type == "called_from_lib";
    const bool applies = of == Of::deadlock
                             ? rule.type == "deadlock"
                             : about_races || (of == Of::signal && rule.type == "signal");
    return applies &&
           std::ranges::any_of(stacks, [&](const auto& stack) { return matches(rule, stack); });
  });
}

bool Suppressions::match(const Finding& finding) const {
  std::vector<std::vector<StackFrame>> stacks;
  for (const FindingSide& side : finding.sides) stacks.push_back(side.stack);
  if (stacks.empty())
    for (const DecidingStep& step : finding.deciding) stacks.push_back({step.where});
  const bool signal = std::ranges::any_of(finding.sides, [](const FindingSide& side) {
    return std::ranges::any_of(side.stack, [](const StackFrame& frame) {
      return frame.function == "<signal handler called>";
    });
  });
  return match(finding.kind == "deadlock" ? Of::deadlock : signal ? Of::signal : Of::race, stacks);
}

}  // namespace heddle
