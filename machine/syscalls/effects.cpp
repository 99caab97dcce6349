#include "machine/syscalls/effects.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>

#include <algorithm>

#include "machine/syscalls/extents.h"

namespace heddle {

SyscallInputs inputs(const Syscall& call, const SyscallArguments& arguments,
                     const GuestMemory& memory) {
  SyscallInputs out;
  for (size_t i = 0; i < arguments.size(); ++i)
    input_lengths(call, i, arguments, memory, out.lengths);
  return out;
}

std::vector<MemoryRange> effects(const Syscall& call, const SyscallArguments& arguments,
                                 int64_t result, const GuestMemory& memory,
                                 const SyscallInputs& before) {
  std::vector<MemoryRange> out;
  const CompletedCall done{arguments, result, memory, before};
  if (result == -EFAULT) {
    for (const auto& buffer : buffers(call, arguments, memory))
      if (buffer.written) out.push_back({buffer.address, buffer.size});
  } else {
    for (size_t i = 0; i < arguments.size(); ++i) written_ranges(call, i, done, out);
    if (call.more_effects) call.more_effects(done, out);
  }
  std::erase_if(out, [](const MemoryRange& r) { return r.address == 0 || r.size == 0; });
  return out;
}

std::vector<MemoryEffect> contents(const std::vector<MemoryRange>& ranges,
                                   const GuestMemory& memory) {
  std::vector<MemoryEffect> out;
  for (const auto& range : ranges) {
    MemoryEffect effect{range.address, {}};
    // Piecewise: what a call says it might have written may be more than there is.
    constexpr uint64_t kPiece = 1 << 20;
    while (effect.bytes.size() < range.size) {
      const size_t at = effect.bytes.size();
      const size_t wanted = std::min<uint64_t>(kPiece, range.size - at);
      effect.bytes.resize(at + wanted);
      const size_t got = memory.read(range.address + at, std::span(effect.bytes).subspan(at));
      effect.bytes.resize(at + got);
      if (got < wanted) break;
    }
    if (!effect.bytes.empty()) out.push_back(std::move(effect));
  }
  return out;
}

std::string unknown_effects(const Syscall& call, const SyscallArguments& arguments, int64_t result,
                            const GuestMemory& memory) {
  if (!call.taint) return {};
  return call.taint({arguments, result, memory, {}});
}

std::vector<std::string> texts(const Syscall& call, const SyscallArguments& arguments,
                               const GuestMemory& memory) {
  std::vector<std::string> out;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (call.arguments[i].kind != Kind::path || arguments[i] == 0) continue;
    const auto text = memory.string(arguments[i]);
    if (!text) break;
    out.push_back(*text);
  }
  return out;
}

std::optional<uint64_t> temporary_mask(const Syscall& call, const SyscallArguments& arguments,
                                       const GuestMemory& memory) {
  uint64_t at = 0, size = 0;
  switch (call.number) {
    case SYS_rt_sigsuspend:
      at = arguments[0];
      size = arguments[1];
      break;
    case SYS_ppoll:
      at = arguments[3];
      size = arguments[4];
      break;
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
      at = arguments[4];
      size = arguments[5];
      break;
    case SYS_pselect6: {
      struct Wire {
        uint64_t mask, size;
      };
      if (const auto wire = memory.load<Wire>(arguments[5])) {
        at = wire->mask;
        size = wire->size;
      }
      break;
    }
    default:
      return std::nullopt;
  }
  if (at == 0 || size != sizeof(uint64_t)) return std::nullopt;
  return memory.load<uint64_t>(at);
}

namespace {

// Appends a buffer and what its contents point at.
class BufferList {
 public:
  BufferList(const GuestMemory& memory, std::vector<SyscallBuffer>& out)
      : memory_(memory), out_(out) {}

  int add(SyscallBuffer buffer) {
    if (buffer.address == 0 || buffer.size == 0) return -1;
    out_.push_back(buffer);
    return static_cast<int>(out_.size()) - 1;
  }

  void parts(int array, uint64_t count) {
    if (array < 0) return;
    const uint64_t at = out_[static_cast<size_t>(array)].address;
    for (uint64_t i = 0; i < count; ++i) {
      struct Part {
        uint64_t base, size;
      };
      const auto part = memory_.load<Part>(at + i * sizeof(Part));
      if (!part) return;
      add({part->base, part->size, true, false, -1, array, i * sizeof(Part)});
    }
  }

  // The msghdr at `offset` in buffer `inside`.
  void message(int inside, uint64_t offset) {
    struct Header {
      uint64_t name;
      uint32_t name_size, padding;
      uint64_t parts, count, control, control_size;
    };
    if (inside < 0) return;
    const uint64_t at = out_[static_cast<size_t>(inside)].address + offset;
    const auto header = memory_.load<Header>(at);
    if (!header) return;
    add({header->name, header->name_size, true, false, -1, inside,
         offset + offsetof(Header, name)});
    add({header->control, header->control_size, true, false, -1, inside,
         offset + offsetof(Header, control)});
    const uint64_t count = std::min<uint64_t>(header->count, 1024);
    parts(
        add({header->parts, count * 16, false, true, -1, inside, offset + offsetof(Header, parts)}),
        count);
  }

 private:
  const GuestMemory& memory_;
  std::vector<SyscallBuffer>& out_;
};

}  // namespace

std::vector<SyscallBuffer> buffers(const Syscall& call, const SyscallArguments& arguments,
                                   const GuestMemory& memory) {
  std::vector<SyscallBuffer> out;
  BufferList list(memory, out);
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto extent = call.arguments[i].extent;
    const uint64_t room = room_of(call, i, arguments, memory);
    const bool data = extent == Extent::returned || extent == Extent::counted ||
                      extent == Extent::address || extent == Extent::sized;
    const int index =
        list.add({arguments[i], room, extent != Extent::vector, !data, static_cast<int>(i), -1, 0});
    if (extent == Extent::vector) list.parts(index, room / 16);
    if (extent == Extent::message) list.message(index, 0);
    if (extent == Extent::messages)
      for (uint64_t at = 0; at < room; at += 64) list.message(index, at);
  }
  return out;
}

}  // namespace heddle
