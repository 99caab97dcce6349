#include "recorder/exec_snapshot.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "machine/pages.h"
#include "machine/tracee/native_clock.h"

namespace heddle {
namespace {

bool machines_own(const MapsEntry& entry) {
  return layout::machines_own(entry.start) || entry.path == "[vsyscall]";
}

// For each page of a mapping whether it may hold something other than the mapping's file, or than
// zeros where there is none (Linux's Documentation/admin-guide/mm/pagemap.rst). A page that nobody
// has touched does not, nor does one of the file that is not copied.
std::vector<bool> own_pages(pid_t pid, const MapsEntry& entry) {
  constexpr uint64_t kPresent = uint64_t{1} << 63, kSwapped = uint64_t{1} << 62,
                     kFile = uint64_t{1} << 61;
  std::vector<bool> own((entry.end - entry.start) / kPage, true);
  std::vector<uint64_t> flags(own.size());
  const int fd = open(("/proc/" + std::to_string(pid) + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return own;
  const size_t size = flags.size() * sizeof(uint64_t);
  const auto at = static_cast<off_t>(entry.start / kPage * sizeof(uint64_t));
  if (pread(fd, flags.data(), size, at) == static_cast<ssize_t>(size))
    for (size_t i = 0; i < own.size(); ++i)
      own[i] = (flags[i] & kSwapped) != 0 ||
               ((flags[i] & kPresent) != 0 && (entry.inode == 0 || (flags[i] & kFile) == 0));
  close(fd);
  return own;
}

// A program that is executed need not have a name any more (fexecve(3), a file that was replaced).
std::string file_of(const MapsEntry& entry, pid_t pid) {
  struct stat named {
  }, executed{};
  if (stat(entry.path.c_str(), &named) == 0 && named.st_ino == entry.inode) return entry.path;
  const auto program = "/proc/" + std::to_string(pid) + "/exe";
  return stat(program.c_str(), &executed) == 0 && executed.st_ino == entry.inode ? program
                                                                                 : entry.path;
}

// What the pages of a mapping hold that differ from its file, or from zeros.
void add_contents(HostProcess& process, const MapsEntry& entry,
                  std::vector<MemoryEffect>& contents) {
  const auto own = own_pages(process.pid(), entry);
  const int file =
      entry.inode != 0 ? open(file_of(entry, process.pid()).c_str(), O_RDONLY | O_CLOEXEC) : -1;
  for (size_t i = 0; i < own.size(); ++i) {
    if (!own[i]) continue;
    std::vector<uint8_t> bytes(kPage), original(kPage, 0);
    process.memory().read(entry.start + i * kPage, bytes);
    if (file >= 0 &&
        pread(file, original.data(), kPage, static_cast<off_t>(entry.offset + i * kPage)) < 0)
      throw std::system_error(errno, std::generic_category(), "reading " + entry.path);
    if (bytes != original) contents.push_back({entry.start + i * kPage, std::move(bytes)});
  }
  if (file >= 0) close(file);
}

}  // namespace

void hide_vdso(HostProcess& process) {
  place_clock(process);
  std::vector<RemoteCall> calls;
  for (const auto& entry : read_maps(process.pid()))
    if (!machines_own(entry) && (entry.path == "[vdso]" || entry.path.starts_with("[vvar")))
      calls.push_back({SYS_munmap, {entry.start, entry.end - entry.start}, 0});
  process.remote_syscalls(process.thread(), calls);
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
    if (entry.inode != 0)
      mapping.file = FileRange{trace.pin(file_of(entry, process.pid())), entry.offset};
    // Nothing has run yet, and the kernel itself writes to what is writable only.
    if (entry.inode != 0 && !entry.shared && !(entry.prot & PROT_WRITE)) {
      image.mappings.push_back(std::move(mapping));
      continue;
    }
    add_contents(process, entry, image.contents);
    image.mappings.push_back(std::move(mapping));
  }
  return image;
}

}  // namespace heddle
