#include "machine/tracee/fixed_addresses.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <string>
#include <system_error>

#include "machine/pages.h"
#include "machine/tracee/host_process.h"

namespace heddle {
namespace {

// Where Linux places position-independent programs, the end of their interpreter and that of the
// stack (arch/x86/include/asm/elf.h: ELF_ET_DYN_BASE; mmap_base() with the default stack limit).
constexpr uint64_t kProgram = 0x5555'5555'4000;
constexpr uint64_t kMappingsEnd = 0x7fff'f7ff'f000;
constexpr uint64_t kStackEnd = 0x7fff'ffff'f000;
constexpr uint64_t kLibraries = 0x7000'0000'0000;  // above it the kernel places all else
constexpr uint64_t kLowest = 0x7000'0000'0000;     // of what address_for_mapping gives
constexpr uint64_t kPassing = 0x2f00'0000'0000;    // nothing else is there

// Mappings that keep their distances.
struct Group {
  std::vector<MapsEntry> parts;
  uint64_t to_end = 0;  // where its end is to be; 0: `to_start`
  uint64_t to_start = 0;

  uint64_t start() const { return parts.front().start; }
  uint64_t end() const { return parts.back().end; }
  uint64_t distance() const {  // modulo 2^64
    return to_end != 0 ? to_end - end() : to_start - start();
  }
};

void move(HostProcess& process, uint64_t from, uint64_t size, uint64_t to) {
  const int64_t got =
      process.remote_syscall(SYS_mremap, {from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to, 0});
  if (got != static_cast<int64_t>(to))
    throw std::system_error(static_cast<int>(-got), std::generic_category(),
                            "moving the program to addresses that are not random");
}

uint64_t moved(const std::vector<Group>& groups, uint64_t address) {
  for (const auto& group : groups)
    if (!group.parts.empty() && address >= group.start() && address <= group.end())
      return address + group.distance();
  return address;
}

// The pointers that the kernel left on the stack, which has moved.
void mend_stack(ProcessMemory& memory, uint64_t at, const std::vector<Group>& groups) {
  const auto mend = [&](uint64_t where) {
    const uint64_t value = memory.load<uint64_t>(where).value_or(0);
    memory.store<uint64_t>(where, moved(groups, value));
    return value != 0;
  };
  at += 8;                   // argc
  while (mend(at)) at += 8;  // argv
  at += 8;
  while (mend(at)) at += 8;  // envp
  at += 8;
  for (; const auto entry = memory.load<Elf64_auxv_t>(at); at += sizeof(Elf64_auxv_t)) {
    switch (entry->a_type) {
      case AT_NULL:
        return;
      case AT_PHDR:
      case AT_BASE:
      case AT_ENTRY:
      case AT_RANDOM:
      case AT_EXECFN:
      case AT_PLATFORM:
      case AT_BASE_PLATFORM:
        mend(at + offsetof(Elf64_auxv_t, a_un));
        break;
      default:
        break;
    }
  }
}

std::optional<unsigned long> personality_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/personality");
  unsigned long persona = 0;
  if (in >> std::hex >> persona) return persona;
  return std::nullopt;
}

}  // namespace

bool has_random_addresses(pid_t pid) {
  const auto persona = personality_of(pid);
  return persona && (*persona & ADDR_NO_RANDOMIZE) == 0;
}

bool reading_executes(pid_t pid) {
  return (personality_of(pid).value_or(0) & READ_IMPLIES_EXEC) != 0;
}

void move_to_fixed_addresses(HostProcess& process) {
  auto& thread = process.thread();
  auto regs = thread.registers();
  enum : size_t { program, interpreter, stack };
  std::vector<Group> groups(3);
  groups[program].to_start = kProgram;
  groups[interpreter].to_end = kMappingsEnd;
  groups[stack].to_end = kStackEnd;
  for (const auto& entry : read_maps(process.pid())) {
    if (layout::kFixed.contains(entry.start) || entry.path.starts_with("[v")) continue;
    if (entry.start <= regs.rsp && regs.rsp <= entry.end)
      groups[stack].parts.push_back(entry);
    else if (entry.start >= kLibraries)
      groups[interpreter].parts.push_back(entry);
    else if (entry.start >= kProgram)
      groups[program].parts.push_back(entry);
  }
  for (const auto& group : groups) {
    if (group.parts.empty() || group.distance() == 0) continue;
    const bool overlaps = group.end() > group.start() + group.distance() &&
                          group.start() < group.end() + group.distance();
    const uint64_t by_way = overlaps ? kPassing - group.start() : group.distance();
    for (const auto& part : group.parts)
      move(process, part.start, part.end - part.start, part.start + by_way);
    for (const auto& part : group.parts)
      if (overlaps)
        move(process, part.start + by_way, part.end - part.start, part.start + group.distance());
  }
  regs.rsp = moved(groups, regs.rsp);
  regs.rip = moved(groups, regs.rip);
  thread.set_registers(regs);
  mend_stack(process.memory(), regs.rsp, groups);
}

uint64_t address_for_mapping(const std::vector<MapsEntry>& maps, uint64_t size) {
  size = page_up(size);
  uint64_t end = kMappingsEnd;
  for (auto entry = maps.rbegin(); entry != maps.rend() && end >= kLowest + size; ++entry) {
    if (entry->start >= kMappingsEnd) continue;
    if (entry->end <= end && end - entry->end >= size) return end - size;
    end = std::min(end, entry->start);
  }
  return 0;
}

}  // namespace heddle
