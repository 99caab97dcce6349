#include "machine/syscalls/describe.h"

#include <sys/syscall.h>

#include <cstring>

#include "machine/pages.h"
#include "machine/syscalls/argument_names.h"
#include "machine/syscalls/table.h"

namespace heddle {
namespace {

constexpr size_t kShown = 32;        // bytes of data
constexpr size_t kShownPath = 4096;  // of a name

// What the call wrote at `address`, if the trace has it.
const MemoryEffect* written(const event::Syscall& call, uint64_t address) {
  for (const auto& effect : call.effects)
    if (effect.address == address) return &effect;
  return nullptr;
}

std::string output_text(const event::Syscall& call, const Argument& argument, uint64_t address) {
  const auto* effect = address == 0 ? nullptr : written(call, address);
  if (!effect) return argument_text(argument.kind, address);
  if (argument.extent == Extent::returned)
    return quoted({effect->bytes.begin(), effect->bytes.end()}, kShown);
  // One number, or the two of a pipe.
  const bool numbers = argument.extent != Extent::counted && argument.extent != Extent::elements &&
                       (argument.unit == 4 || call.number == SYS_pipe || call.number == SYS_pipe2 ||
                        call.number == SYS_socketpair);
  if (!numbers) return argument_text(argument.kind, address);
  std::string text = "[";
  for (size_t i = 0; i + 4 <= effect->bytes.size(); i += 4) {
    int32_t value;
    std::memcpy(&value, effect->bytes.data() + i, sizeof value);
    text += (i ? ", " : "") + std::to_string(value);
  }
  return text + "]";
}

std::string result_text(const event::Syscall& call) {
  if (call.interrupted) return "? (made again)";
  if (is_error(call.result)) {
    const char* name = strerrorname_np(static_cast<int>(-call.result));
    return "-1 " + (name ? std::string(name) : std::to_string(-call.result));
  }
  switch (call.number) {
    case SYS_mmap:
    case SYS_mremap:
    case SYS_brk:
    case SYS_shmat:
      return argument_text(Kind::pointer, static_cast<uint64_t>(call.result));
    default:
      return std::to_string(call.result);
  }
}

}  // namespace

std::string describe_request(const event::Syscall& call) {
  const auto* known = find(call.number);
  std::string text = known ? known->name : "system call " + std::to_string(call.number);
  text += "(";
  const size_t count = known ? known->count() : 6;
  auto name = call.texts.begin();
  for (size_t i = 0; i < count; ++i) {
    const auto argument = known ? known->arguments[i] : Argument{Kind::hexadecimal};
    if (i > 0) text += ", ";
    if (argument.kind == Kind::path && name != call.texts.end() && call.arguments[i] != 0)
      text += quoted(*name++, kShownPath);
    else if (argument.kind == Kind::output)
      text += output_text(call, argument, call.arguments[i]);
    else
      text += argument_text(argument.kind, call.arguments[i]);
  }
  return text + ")";
}

std::string describe_call(const event::Syscall& call) {
  return describe_request(call) + " = " + result_text(call);
}

}  // namespace heddle
