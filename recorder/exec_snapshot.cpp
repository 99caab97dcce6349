#include "recorder/exec_snapshot.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace heddle {
namespace {

constexpr uint64_t kPage = 0x1000;

bool machines_own(const MapsEntry& entry) {
  return layout::machines_own(entry.start) || entry.path == "[vsyscall]";
}

}  // namespace

void hide_vdso(HostProcess& process) {
  for (const auto& entry : read_maps(process.pid()))
    if (entry.path == "[vdso]" || entry.path.starts_with("[vvar"))
      process.remote_syscall(SYS_munmap, {entry.start, entry.end - entry.start});
  // argc, argv, null, envp, null, auxv (System V ABI, x86-64 supplement, 3.4.1).
  auto& memory = process.memory();
  uint64_t at = process.thread().registers().rsp;
  at += 8 * (1 + memory.load<uint64_t>(at).value_or(0) + 1);
  while (memory.load<uint64_t>(at).value_or(0) != 0) at += 8;
  at += 8;
  while (const auto entry = memory.load<Elf64_auxv_t>(at)) {
    if (entry->a_type == AT_NULL) break;
    if (entry->a_type == AT_SYSINFO_EHDR) memory.store<uint64_t>(at, AT_IGNORE);
    at += sizeof(Elf64_auxv_t);
  }
}

event::Exec snapshot(HostProcess& process, const Program& program, const Registers& registers,
                     TraceWriter& trace) {
  event::Exec image;
  image.path = program.path;
  image.arguments = program.arguments;
  image.environment = program.environment;
  image.working_directory = program.working_directory;
  image.registers = registers;
  image.pid = process.pid();
  image.brk = static_cast<uint64_t>(process.remote_syscall(SYS_brk, {0}));
  image.reserved.push_back({layout::kFixed.start, layout::kFixed.size});
  for (const auto& arena : layout::kArenas) image.reserved.push_back({arena.start, arena.size});
  for (const auto& entry : read_maps(process.pid())) {
    if (machines_own(entry)) continue;
    Mapping mapping;
    mapping.start = entry.start;
    mapping.size = entry.end - entry.start;
    mapping.prot = entry.prot;
    mapping.flags = entry.shared ? MAP_SHARED : MAP_PRIVATE;
    const uint64_t rsp = registers[Register::rsp];
    mapping.path = entry.start <= rsp && rsp <= entry.end ? "[stack]" : entry.path;
    if (entry.inode != 0) mapping.file = FileRange{trace.pin(entry.path), entry.offset};
    // Nothing has run yet, and the kernel itself writes to what is writable only.
    if (entry.inode != 0 && !entry.shared && !(entry.prot & PROT_WRITE)) {
      image.mappings.push_back(std::move(mapping));
      continue;
    }
    std::vector<uint8_t> bytes(mapping.size), original(mapping.size, 0);
    process.memory().read(entry.start, bytes);
    if (entry.inode != 0) {
      std::ifstream in(entry.path, std::ios::binary);
      in.seekg(static_cast<std::streamoff>(entry.offset));
      in.read(reinterpret_cast<char*>(original.data()),
              static_cast<std::streamsize>(original.size()));
    }
    for (uint64_t page = 0; page < mapping.size; page += kPage) {
      const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(page);
      if (!std::equal(from, from + kPage, original.begin() + static_cast<std::ptrdiff_t>(page)))
        image.contents.push_back({entry.start + page, {from, from + kPage}});
    }
    image.mappings.push_back(std::move(mapping));
  }
  return image;
}

}  // namespace heddle
