#include "trace_format/fault.h"

#include <array>
#include <charconv>
#include <stdexcept>

namespace heddle {
namespace {

struct Name {
  FaultKind kind;
  std::string_view name;
  bool has_argument;
};

constexpr std::array<Name, 5> kNames{{
    {FaultKind::interrupted, "eintr", false},
    {FaultKind::short_transfer, "short", true},
    {FaultKind::no_memory, "nomem", false},
    {FaultKind::late, "late", false},
    {FaultKind::wake_choice, "wake", true},
}};

}  // namespace

std::string fault_text(const Fault& fault) {
  for (const Name& known : kNames)
    if (known.kind == fault.kind)
      return std::string(known.name) +
             (known.has_argument ? ":" + std::to_string(fault.argument) : "");
  return {};
}

Fault parse_fault(std::string_view text) {
  const size_t colon = text.find(':');
  for (const Name& known : kNames) {
    if (known.name != text.substr(0, colon)) continue;
    if (known.has_argument != (colon != std::string_view::npos)) break;
    Fault fault{known.kind, 0};
    if (!known.has_argument) return fault;
    const std::string_view number = text.substr(colon + 1);
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), fault.argument);
    if (error != std::errc() || end != number.data() + number.size()) break;
    return fault;
  }
  throw std::invalid_argument(
      "\"" + std::string(text) +
      "\" is no fault: eintr, short:BYTES, nomem, late and wake:NUMBER are");
}

}  // namespace heddle
