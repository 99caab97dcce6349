#include "oracle.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

namespace heddle {

size_t OwnMemory::read(uint64_t address, std::span<uint8_t> out) const {
  size_t done = 0;
  while (done < out.size()) {  // to the end of each page, so that a hole ends the read exactly
    const size_t piece = std::min(out.size() - done, 0x1000 - ((address + done) & 0xfff));
    const iovec here{out.data() + done, piece};
    const iovec there{reinterpret_cast<void*>(address + done), piece};
    if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != static_cast<ssize_t>(piece)) break;
    done += piece;
  }
  return done;
}

bool OwnMemory::write(uint64_t address, std::span<const uint8_t> bytes) {
  const iovec here{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  const iovec there{reinterpret_cast<void*>(address), bytes.size()};
  return process_vm_writev(getpid(), &here, 1, &there, 1, 0) == static_cast<ssize_t>(bytes.size());
}

int64_t raw_syscall(uint64_t number, const SyscallArguments& a) {
  int64_t result;
  register uint64_t r10 __asm__("r10") = a[3];
  register uint64_t r8 __asm__("r8") = a[4];
  register uint64_t r9 __asm__("r9") = a[5];
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

int64_t Oracle::expect_exact(uint64_t number, const std::function<SyscallArguments()>& prepare) {
  return run(number, prepare, true);
}

int64_t Oracle::expect_covered(uint64_t number, const std::function<SyscallArguments()>& prepare) {
  return run(number, prepare, false);
}

int64_t Oracle::run(uint64_t number, const std::function<SyscallArguments()>& prepare, bool exact) {
  const auto* call = find(number);
  if (!call) {
    ADD_FAILURE() << "system call " << number << " is not in the table";
    return -1;
  }
  OwnMemory memory;
  std::vector<bool> changed(arena_.size()), predicted(arena_.size());
  int64_t result = 0;
  for (const uint8_t pattern : {0xa5, 0x5a}) {
    std::ranges::fill(arena_, pattern);
    const auto arguments = prepare();
    const auto before = inputs(*call, arguments, memory);
    const auto old = arena_;
    result = raw_syscall(number, arguments);
    for (const auto& range : effects(*call, arguments, result, memory, before)) {
      const uint64_t offset = range.address - pointer(arena_.data());
      if (offset >= arena_.size()) continue;
      for (uint64_t i = offset; i < std::min(offset + range.size, arena_.size()); ++i)
        predicted[i] = true;
    }
    for (size_t i = 0; i < arena_.size(); ++i)
      if (arena_[i] != old[i]) changed[i] = true;
  }
  for (size_t i = 0; i < arena_.size(); ++i) {
    if (changed[i] == predicted[i] || (predicted[i] && !exact)) continue;
    ADD_FAILURE() << call->name << " = " << result << ": byte " << i << " of the arena was "
                  << (changed[i] ? "written but not predicted" : "predicted but not written");
    break;
  }
  return result;
}

}  // namespace heddle
