#include "trace_format/finding.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace heddle {

using nlohmann::json;

static void to_json(json& j, const Place& p) {
  j = {{"task", p.task}, {"ticks", p.ticks}, {"pc", p.pc}, {"phase", p.phase}};
}

static void from_json(const json& j, Place& p) {
  j.at("task").get_to(p.task);
  j.at("ticks").get_to(p.ticks);
  j.at("pc").get_to(p.pc);
  j.at("phase").get_to(p.phase);
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(StackFrame, pc, function, file, line, module)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FindingSide, what, who, place, address, size, variable, stack)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Difference, of, expected, actual)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(DecidingStep, who, what, at, where, next)

constexpr int kDeepest = 16;

// Conversions to a member's type would take any number.
static void check_numbers(const json& j, const std::string& name, int depth = 0) {
  if (j.is_structured()) {
    if (depth == kDeepest) throw std::runtime_error("not a finding: too deeply nested");
    for (const auto& [key, value] : j.items())
      check_numbers(value, j.is_object() ? key : name, depth + 1);
  } else if (j.is_number()) {
    uint64_t most = ~uint64_t{0};
    if (name == "task" || name == "next" || name == "size" || name == "line") most = 0xffffffff;
    if (name == "phase") most = 2;
    if (!j.is_number_unsigned() || j.get<uint64_t>() > most)
      throw std::runtime_error("not a finding: " + name + " cannot be " + j.dump());
  }
}

std::string Finding::fingerprint_of(std::string_view kind, const std::vector<FindingSide>& sides) {
  std::vector<std::string> tops;
  for (const auto& side : sides) {
    if (side.stack.empty()) continue;
    const auto& top = side.stack.front();
    const std::string& file = top.file.empty() ? top.module : top.file;
    tops.push_back(top.function + "\n" + file + "\n" + std::to_string(top.line));
  }
  // Which side came first is no part of what was found.
  std::ranges::sort(tops);
  std::string text(kind);
  for (const auto& top : tops) text += "\n\n" + top;
  char digits[24];
  std::snprintf(digits, sizeof digits, "%016llx",
                static_cast<unsigned long long>(XXH3_64bits(text.data(), text.size())));
  return digits;
}

std::string Finding::json() const {
  const nlohmann::json j = {{"kind", kind},
                            {"verdict", verdict},
                            {"consequence", consequence},
                            {"fingerprint", fingerprint},
                            {"sides", sides},
                            {"differences", differences},
                            {"deciding", deciding},
                            {"swapped", swapped},
                            {"swaps_tried", swaps_tried},
                            {"either_order", either_order},
                            {"without_step", without_step},
                            {"schedule", schedule.text()},
                            {"strategy", strategy},
                            {"seed", seed},
                            {"schedules_tried", schedules_tried},
                            {"found_steps", found_steps},
                            {"confirmed", confirmed},
                            {"origin", origin}};
  // A program's own text need not be UTF-8.
  return j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

Finding Finding::parse(std::string_view text) {
  try {
    const auto j = nlohmann::json::parse(text);
    check_numbers(j, "a finding");
    Finding f;
    j.at("kind").get_to(f.kind);
    j.at("verdict").get_to(f.verdict);
    j.at("consequence").get_to(f.consequence);
    j.at("fingerprint").get_to(f.fingerprint);
    j.at("sides").get_to(f.sides);
    j.at("differences").get_to(f.differences);
    j.at("deciding").get_to(f.deciding);
    // Findings of before do not say.
    f.swapped = j.value("swapped", std::string());
    f.swaps_tried = j.value("swaps_tried", std::vector<std::string>());
    f.either_order = j.value("either_order", std::string());
    f.without_step = j.value("without_step", std::string());
    f.schedule = Schedule::parse(j.at("schedule").get<std::string>());
    j.at("strategy").get_to(f.strategy);
    j.at("seed").get_to(f.seed);
    j.at("schedules_tried").get_to(f.schedules_tried);
    j.at("found_steps").get_to(f.found_steps);
    j.at("confirmed").get_to(f.confirmed);
    j.at("origin").get_to(f.origin);
    return f;
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(std::string("not a finding: ") + error.what());
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(std::string("not a finding: its schedule: ") + error.what());
  }
}

Finding read_finding(const std::filesystem::path& trace) {
  const auto path = trace / kFindingFile;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(path.string() + ": cannot be read; is this a finding?");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  try {
    return Finding::parse(text);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(path.string() + ": " + error.what());
  }
}

void write_finding(const Finding& finding, const std::filesystem::path& trace) {
  const auto path = trace / kFindingFile;
  std::ofstream out(path, std::ios::binary);
  out << finding.json() << "\n";
  out.close();
  if (!out) throw std::runtime_error(path.string() + ": cannot be written");
}

}  // namespace heddle
