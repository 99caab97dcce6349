#include "machine/syscalls/redirection.h"

namespace heddle {
namespace {

constexpr uint64_t aligned(uint64_t size) {
  return (size + 63) & ~uint64_t{63};
}

}  // namespace

uint64_t Redirection::room(const std::vector<SyscallBuffer>& buffers) {
  uint64_t sum = 0;
  for (const auto& buffer : buffers) sum += aligned(buffer.size);
  return sum;
}

std::optional<Redirection> Redirection::make(const std::vector<SyscallBuffer>& buffers,
                                             const SyscallArguments& arguments, uint64_t scratch,
                                             GuestMemory& memory) {
  Redirection out;
  out.arguments_ = arguments;
  for (const auto& buffer : buffers) {
    if (buffer.read) {
      std::vector<uint8_t> bytes(buffer.size);
      if (memory.read(buffer.address, bytes) != bytes.size()) return std::nullopt;
      if (!memory.write(scratch, bytes)) return std::nullopt;
    }
    if (buffer.argument >= 0)
      out.arguments_[static_cast<size_t>(buffer.argument)] = scratch;
    else
      memory.store(out.moved_[static_cast<size_t>(buffer.inside)].to + buffer.offset, scratch);
    out.moved_.push_back({buffer.address, scratch, buffer.size});
    scratch += aligned(buffer.size);
  }
  return out;
}

uint64_t Redirection::original(uint64_t address) const {
  for (const auto& moved : moved_)
    if (address - moved.to < moved.size) return moved.from + (address - moved.to);
  return address;
}

}  // namespace heddle
