#include "machine/tracee/process_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <system_error>
#include <utility>

namespace heddle {

ProcessMemory::ProcessMemory(pid_t pid) : pid_(pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/mem";
  fd_ = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "opening " + path);
}

ProcessMemory::~ProcessMemory() {
  if (fd_ >= 0) close(fd_);
}

ProcessMemory::ProcessMemory(ProcessMemory&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      pid_(other.pid_),
      executable_(std::move(other.executable_)),
      epoch_(std::exchange(other.epoch_, 0)) {}

ProcessMemory& ProcessMemory::operator=(ProcessMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(pid_, other.pid_);
  std::swap(executable_, other.executable_);
  std::swap(epoch_, other.epoch_);
  return *this;
}

size_t ProcessMemory::read(uint64_t address, std::span<uint8_t> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(address + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

bool ProcessMemory::write(uint64_t address, std::span<const uint8_t> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put =
        pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(address + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    done += static_cast<size_t>(put);
  }
  return true;
}

bool ProcessMemory::executable(uint64_t address, uint64_t epoch) const {
  const auto found = [&] {
    for (const auto& range : executable_)
      if (address >= range.start && address < range.end) return true;
    return false;
  };
  if (epoch == epoch_ && found()) return true;
  // New mappings come without notice.
  read_executable();
  epoch_ = epoch;
  return found();
}

bool ProcessMemory::writable_code(uint64_t address) const {
  for (const auto& range : executable_)
    if (address >= range.start && address < range.end) return range.writable;
  return true;
}

void ProcessMemory::read_executable() const {
  executable_.clear();
  for (const auto& entry : read_maps(pid_)) {
    if (!(entry.prot & PROT_EXEC)) continue;
    // Shared memory has other ways to be written.
    const bool writable = (entry.prot & PROT_WRITE) || entry.shared;
    if (!executable_.empty() && executable_.back().end == entry.start &&
        executable_.back().writable == writable)
      executable_.back().end = entry.end;
    else
      executable_.push_back({entry.start, entry.end, writable});
  }
}

bool ProcessMemory::write_as_guest(uint64_t address, std::span<const uint8_t> bytes) {
  const iovec here{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  const iovec there{reinterpret_cast<void*>(address), bytes.size()};
  const auto whole = static_cast<ssize_t>(bytes.size());
  if (process_vm_writev(pid_, &here, 1, &there, 1, 0) == whole) return true;
  // A stack that ends above: reading through /proc makes it grow.
  uint8_t byte;
  return read(address, {&byte, 1}) == 1 && process_vm_writev(pid_, &here, 1, &there, 1, 0) == whole;
}

std::vector<MapsEntry> read_maps(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/maps");
  std::vector<MapsEntry> entries;
  std::string line;
  while (std::getline(in, line)) {
    MapsEntry e;
    char prot[5] = {};
    int path_at = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*x:%*x %" SCNu64 " %n",
                    &e.start, &e.end, prot, &e.offset, &e.inode, &path_at) < 5)
      continue;
    e.prot = (prot[0] == 'r' ? PROT_READ : 0) | (prot[1] == 'w' ? PROT_WRITE : 0) |
             (prot[2] == 'x' ? PROT_EXEC : 0);
    e.shared = prot[3] == 's';
    e.path = line.substr(static_cast<size_t>(path_at));
    entries.push_back(std::move(e));
  }
  return entries;
}

}  // namespace heddle
