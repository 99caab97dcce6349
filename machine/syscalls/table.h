// The system calls of x86-64 Linux: what each reads and writes, how it replays, what it touches.
// One table, one file per family; the one source for recorder, replayer, model and race detector.
// Numbers and structures are those of the uapi headers of Linux 6.1.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "machine/guest_memory.h"

namespace heddle {

using SyscallArguments = std::array<uint64_t, 6>;

enum class Replay : uint8_t {
  logged,       // answered from its event
  performed,    // changes the address space: done again for real
  virtualised,  // state that heddle keeps: signals, threads, fs base
  refused,      // -ENOSYS without asking the kernel
  unsupported,  // recording stops with an error that names it
};

// What an argument means to a person.
enum class Kind : uint8_t {
  none,  // the call has no such argument
  integer,
  unsigned_number,
  hexadecimal,
  size,     // bytes
  offset,   // in a file, signed
  pointer,  // to input, or an address
  output,   // to memory that the call writes
  path,     // to a NUL-terminated string
  descriptor,
  directory,  // descriptor or AT_FDCWD
  process,
  signal,
  mode,
  open_flags,
  access_mode,
  at_flags,
  protection,
  map_flags,
  advice,
  whence,
  clock,
  fcntl_command,
  ioctl_command,
  futex_operation,
  clone_flags,
  signal_how,
  socket_family,
  socket_type,
  message_flags,
  prctl_option,
  epoll_operation,
  wait_options,
};

// How much the kernel writes through a pointer argument (null: nothing is written). `unit` and
// `other` are the Argument's. Unless it says otherwise, only where the call succeeds.
enum class Extent : uint8_t {
  none,
  fixed,        // `unit` bytes
  always,       // the same, whether the call fails or not
  interrupted,  // the same, only where the result is -EINTR
  positive,     // the same, only where the result is above 0
  returned,     // as many bytes as the result says, at most arguments[other]
  elements,     // unit * arguments[other] bytes
  counted,      // unit * result bytes, at most unit * arguments[other]
  vector,       // an iovec array of arguments[other] entries, the result's bytes in all
  address,      // a socket address: what its length argument `other` had room for
  length,       // 4 bytes if arguments[other] is not null: its length
  sized,        // *(uint32_t*)arguments[other] bytes, after the call
  message,      // msghdr: name, control and data, and three fields of the header
  messages,     // mmsghdr array: as many of them as the result says
  sent,         // mmsghdr array: their msg_len, as many as the result says
  events,       // pollfd array of arguments[other] entries: each one's revents
  descriptors,  // fd_set of arguments[other] bits
};

struct Argument {
  Kind kind = Kind::none;
  Extent extent = Extent::none;
  uint32_t unit = 0;
  uint8_t other = 0;
};

// A range of the guest's memory.
struct MemoryRange {
  uint64_t address = 0;
  uint64_t size = 0;  // bytes
  bool operator==(const MemoryRange&) const = default;
};

// Lengths that a call takes in and overwrites, read before it (see inputs() in effects.h).
struct SyscallInputs {
  std::vector<uint64_t> lengths;
};

// A call after it returned.
struct CompletedCall {
  const SyscallArguments& arguments;
  int64_t result;
  const GuestMemory& memory;
  const SyscallInputs& inputs;
};

struct Syscall {
  uint32_t number;
  const char* name;
  Replay replay;
  bool may_block;  // by its nature; see may_block() in effects.h
  std::array<Argument, 6> arguments;

  // For calls whose effects depend on a command word: appends the ranges that they wrote beyond
  // what the arguments' extents say.
  void (*more_effects)(const CompletedCall& call, std::vector<MemoryRange>& out) = nullptr;
  // Why the trace is tainted from this call on (what was not captured); empty: it is not.
  std::string (*taint)(const CompletedCall& call) = nullptr;

  // How many arguments it has.
  size_t count() const;
};

// Null for a number that is not in the table; the recorder refuses it with ENOSYS.
const Syscall* find(uint64_t number);

// Consecutive rows of one kind, in the order of their numbers.
struct SyscallFamily {
  const char* name;  // for a person: "Files"
  std::span<const Syscall> calls;
};
std::span<const SyscallFamily> families();

}  // namespace heddle
