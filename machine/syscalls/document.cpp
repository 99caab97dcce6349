#include "machine/syscalls/document.h"

#include "machine/syscalls/served.h"
#include "machine/syscalls/table.h"

namespace heddle {
namespace {

constexpr const char* kHead = R"(# System calls

What heddle does with each system call of x86-64. This page is printed by `heddle syscall-page` from
the table in `machine/syscalls`; a test compares the two.

A call is in one of these states:

| state | what happens |
|---|---|
| in the tracee | the call is made and logged inside the program's process, without a stop, where it cannot wait; otherwise it is stopped |
| stopped | the program stops for the recorder, which makes the call and logs its result and the memory that it wrote; a replay answers from the log |
| performed | done again for real by a replay: it changes the address space; stopped, where it is not also in the tracee |
| kept | stopped, and done by heddle on state that it keeps itself: signals, threads, processes |
| refused | -ENOSYS, without asking the kernel: what it does could not be captured |
| may taint | stopped; where it does something that is not captured, the trace is marked as tainted from there on |

Numbers that are not here are refused. Other marks: *waits* means that other tasks may run before the
call returns; what it writes is then put into the program's memory when its task has the token again.

Beyond single calls, these taint a trace: a shared mapping of a file that a process outside of the
program maps too and can write, a shared segment that one is attached to, and a mapped device.
)";

bool in_tracee(uint32_t number) {
  return number < HEDDLE_SERVED_CALLS && served_calls()[number].family != HEDDLE_DECLINED;
}

const char* state(const Syscall& call) {
  switch (call.replay) {
    case Replay::refused:
      return "refused";
    case Replay::performed:
      return in_tracee(call.number) ? "in the tracee, performed" : "performed";
    case Replay::virtualised:
      return "kept";
    case Replay::unsupported:
      return "ends the recording";
    case Replay::logged:
      break;
  }
  if (in_tracee(call.number)) return call.taint ? "in the tracee, may taint" : "in the tracee";
  return call.taint ? "may taint" : "stopped";
}

// "argument 2: as many bytes as returned, argument 5: the address's length"
std::string writes(const Syscall& call) {
  std::string text;
  const auto add = [&](size_t index, const std::string& what) {
    text += (text.empty() ? "" : "; ") + std::string("argument ") + std::to_string(index + 1) +
            ": " + what;
  };
  const auto bytes = [](const Argument& a) { return std::to_string(a.unit) + " bytes"; };
  for (size_t i = 0; i < call.count(); ++i) {
    const auto& a = call.arguments[i];
    switch (a.extent) {
      case Extent::none:
        if (a.kind == Kind::output)
          add(i, a.unit == 0 ? "by command or result" : "at most " + bytes(a));
        break;
      case Extent::fixed:
        add(i, bytes(a));
        break;
      case Extent::always:
        add(i, bytes(a) + ", also where it fails");
        break;
      case Extent::interrupted:
        add(i, bytes(a) + " after EINTR");
        break;
      case Extent::positive:
        add(i, bytes(a) + " if the result is above 0");
        break;
      case Extent::returned:
        add(i, "as many bytes as the result says");
        break;
      case Extent::elements:
        add(i, bytes(a) + " for each of argument " + std::to_string(a.other + 1));
        break;
      case Extent::counted:
        add(i, bytes(a) + " for each that the result counts");
        break;
      case Extent::vector:
        add(i, "the parts of an iovec array");
        break;
      case Extent::address:
        add(i, "a socket address");
        break;
      case Extent::length:
        add(i, "its length");
        break;
      case Extent::sized:
        add(i, "as many bytes as argument " + std::to_string(a.other + 1) + " says");
        break;
      case Extent::message:
        add(i, "a message's name, control data, data and flags");
        break;
      case Extent::messages:
        add(i, "messages");
        break;
      case Extent::sent:
        add(i, "the messages' lengths");
        break;
      case Extent::events:
        add(i, "what happened to each descriptor");
        break;
      case Extent::descriptors:
        add(i, "a set of descriptors");
        break;
    }
  }
  return text;
}

}  // namespace

std::string syscall_page() {
  std::string page = kHead;
  size_t count = 0;
  for (const auto& family : families()) {
    page += std::string("\n## ") + family.name + "\n\n";
    page += "| number | call | state | writes |\n|---|---|---|---|\n";
    for (const auto& call : family.calls) {
      const bool known = call.replay != Replay::refused;
      page += "| " + std::to_string(call.number) + " | `" + call.name + "` | " + state(call) +
              (known && call.may_block ? ", waits" : "") + " | " + (known ? writes(call) : "") +
              " |\n";
      ++count;
    }
  }
  return page + "\n" + std::to_string(count) + " calls.\n";
}

}  // namespace heddle
