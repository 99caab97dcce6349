#include "machine/syscalls/table.h"

#include "machine/syscalls/rows.h"

namespace heddle {
namespace {

// The highest number that any row has, and one more.
constexpr size_t kNumbers = SYS_set_mempolicy_home_node + 1;

}  // namespace

size_t Syscall::count() const {
  size_t n = 0;
  while (n < arguments.size() && arguments[n].kind != Kind::none) ++n;
  return n;
}

std::span<const SyscallFamily> families() {
  static const SyscallFamily all[] = {
      {"Files and directories", rows::files()},
      {"Descriptors", rows::descriptors()},
      {"Memory", rows::memory()},
      {"Processes", rows::processes()},
      {"Users, groups, capabilities", rows::identities()},
      {"Scheduling", rows::scheduling()},
      {"Signals", rows::signals()},
      {"Time", rows::time()},
      {"Sockets", rows::sockets()},
      {"Waiting for descriptors", rows::polling()},
      {"Threads and futexes", rows::threads()},
      {"Messages, semaphores, keys", rows::messages()},
      {"The system", rows::system()},
  };
  return all;
}

const Syscall* find(uint64_t number) {
  static const auto index = [] {
    std::array<const Syscall*, kNumbers> by_number{};
    for (const auto& family : families())
      for (const auto& call : family.calls) by_number.at(call.number) = &call;
    return by_number;
  }();
  return number < index.size() ? index[number] : nullptr;
}

}  // namespace heddle
