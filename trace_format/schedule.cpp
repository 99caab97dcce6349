#include "trace_format/schedule.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace heddle {
namespace {

std::string number(uint64_t value, int base = 10) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, base).ptr;
  return {digits, end};
}

// Reads a text from the left; errors name the offset.
class Parser {
 public:
  Parser(std::string what, std::string_view text) : what_(std::move(what)), text_(text) {}

  bool at_end() const { return at_ == text_.size(); }

  bool accept(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail(std::string("'") + c + "'");
  }

  uint64_t take(int base, const char* what, uint64_t limit = ~uint64_t{0}) {
    uint64_t value = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), value, base);
    if (error != std::errc() || value > limit) fail(what);
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }

  // Up to the next ',' or the end.
  std::string_view take_field() {
    const size_t from = at_;
    at_ = std::min(text_.find(',', at_), text_.size());
    return text_.substr(from, at_ - from);
  }

  [[noreturn]] void fail(const std::string& expected) const {
    throw std::invalid_argument(what_ + ": expected " + expected + " at offset " +
                                std::to_string(at_));
  }

 private:
  std::string what_;  // is parsed
  std::string_view text_;
  size_t at_ = 0;
};

constexpr uint64_t kTask = 0xffffffff;  // the highest

Place take_place(Parser& in) {
  Place place;
  place.task = static_cast<TaskId>(in.take(10, "a task", kTask));
  in.expect('@');
  place.ticks = in.take(10, "a tick count");
  in.expect(':');
  place.pc = in.take(16, "a hexadecimal address");
  if (in.accept('.')) place.phase = static_cast<uint8_t>(in.take(10, "a phase", 2));
  return place;
}

}  // namespace

std::string Schedule::text() const {
  if (steps.empty()) return "-";
  std::string out;
  for (const auto& step : steps) {
    if (!out.empty()) out += ',';
    out += number(step.at.task) + '@' + number(step.at.ticks) + ':' + number(step.at.pc, 16);
    if (step.at.phase != 0) out += '.' + number(step.at.phase);
    out += (step.holds ? ">>" : ">") + number(step.next);
    if (step.signal != 0) out += '!' + number(static_cast<uint64_t>(step.signal));
    if (step.fault.kind != FaultKind::none) out += '~' + fault_text(step.fault);
  }
  return out;
}

Schedule Schedule::parse(std::string_view text) {
  Schedule schedule;
  if (text == "-") return schedule;
  Parser in("schedule", text);
  do {
    ScheduleStep step;
    step.at = take_place(in);
    in.expect('>');
    step.holds = in.accept('>');
    step.next = static_cast<TaskId>(in.take(10, "a task", kTask));
    if (in.accept('!')) step.signal = static_cast<int32_t>(in.take(10, "a signal", 64));
    if (in.accept('~')) {
      try {
        step.fault = parse_fault(in.take_field());
      } catch (const std::invalid_argument& error) {
        throw std::invalid_argument("schedule: " + std::string(error.what()));
      }
    }
    schedule.steps.push_back(step);
  } while (in.accept(','));
  if (!in.at_end()) in.fail("',' or the end");
  return schedule;
}

Place parse_place(std::string_view text) {
  Parser in("place", text);
  const Place place = take_place(in);
  if (!in.at_end()) in.fail("the end");
  return place;
}

}  // namespace heddle
