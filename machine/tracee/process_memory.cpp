#include "machine/tracee/process_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>

#include "machine/pages.h"

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
      epoch_(std::exchange(other.epoch_, 0)),
      unwatched_(std::move(other.unwatched_)),
      written_(std::move(other.written_)),
      watched_(std::move(other.watched_)) {}

ProcessMemory& ProcessMemory::operator=(ProcessMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(pid_, other.pid_);
  std::swap(executable_, other.executable_);
  std::swap(epoch_, other.epoch_);
  std::swap(unwatched_, other.unwatched_);
  std::swap(written_, other.written_);
  std::swap(watched_, other.watched_);
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
  note_write(address, bytes.size());
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

const MapsEntry* ProcessMemory::executable_at(uint64_t address) const {
  for (const auto& entry : executable_)
    if (address >= entry.start && address < entry.end) return &entry;
  return nullptr;
}

bool ProcessMemory::executable(uint64_t address, uint64_t epoch) const {
  const MapsEntry* entry = epoch == epoch_ ? executable_at(address) : nullptr;
  if (!entry) {
    // New mappings come without notice.
    read_executable();
    epoch_ = epoch;
    entry = executable_at(address);
    if (!entry) return false;
  }
  const uint64_t page = page_down(address);
  if (entry->shared ? !watched_.holds_shared(page)
                    : (entry->prot & PROT_WRITE) && !watched_.watches(page))
    unwatched_.insert(page);
  return true;
}

bool ProcessMemory::writable_code(uint64_t address) const {
  const MapsEntry* entry = executable_at(address);
  // Shared memory has other ways to be written.
  return !entry || (entry->prot & PROT_WRITE) || entry->shared;
}

void ProcessMemory::read_executable() const {
  executable_.clear();
  for (auto& entry : maps())
    if (entry.prot & PROT_EXEC) executable_.push_back(std::move(entry));
}

bool ProcessMemory::mappings_changed(uint64_t start, uint64_t size) {
  const bool code = std::ranges::any_of(executable_, [&](const MapsEntry& entry) {
    return entry.start < start + size && entry.end > start;
  });
  if (code) epoch_ = 0;
  return code;
}

std::vector<MapsEntry> ProcessMemory::maps() const {
  auto real = read_maps(pid_);
  if (watched_.empty()) return real;
  std::vector<MapsEntry> all;
  const auto add = [&](MapsEntry entry) {
    if (!all.empty()) {
      auto& last = all.back();
      if (last.end == entry.start && last.prot == entry.prot && last.shared == entry.shared &&
          last.device == entry.device && last.inode == entry.inode && last.path == entry.path &&
          (last.inode == 0 || last.offset + (last.end - last.start) == entry.offset)) {
        last.end = entry.end;
        return;
      }
    }
    all.push_back(std::move(entry));
  };
  for (const auto& entry : real) {
    uint64_t from = entry.start;
    const auto part = [&](uint64_t to, uint32_t prot) {
      if (to == from) return;
      MapsEntry piece = entry;
      piece.start = from;
      piece.end = to;
      piece.offset = entry.offset + (from - entry.start);
      piece.prot = prot;
      add(std::move(piece));
      from = to;
    };
    for (const uint64_t page : watched_.within(entry.start, entry.end - entry.start)) {
      part(page, entry.prot);
      part(page + kPage, watched_.pages().at(page).prot);
    }
    part(entry.end, entry.prot);
  }
  return all;
}

void ProcessMemory::note_write(uint64_t address, uint64_t size) {
  if (watched_.empty()) return;
  for (const uint64_t page : watched_.within(address, size))
    written_.insert(watched_.pages().at(page).code.begin(), watched_.pages().at(page).code.end());
}

bool ProcessMemory::write_as_guest(uint64_t address, std::span<const uint8_t> bytes) {
  const iovec here{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  const iovec there{reinterpret_cast<void*>(address), bytes.size()};
  const auto whole = static_cast<ssize_t>(bytes.size());
  if (process_vm_writev(pid_, &here, 1, &there, 1, 0) == whole) return true;
  // Where the protection is ours, the guest may.
  const auto pages = watched_.within(address, bytes.size());
  if (!pages.empty()) {
    const auto all = maps();
    uint64_t at = address;
    for (const auto& entry : all)
      if (at >= entry.start && at < entry.end && (entry.prot & PROT_WRITE)) at = entry.end;
    return at >= address + bytes.size() && write(address, bytes);
  }
  // A stack that ends above: reading through /proc makes it grow.
  uint8_t byte;
  return read(address, {&byte, 1}) == 1 && process_vm_writev(pid_, &here, 1, &there, 1, 0) == whole;
}

namespace {

// The kernel gives a page or so at a time; nothing where the process is gone.
std::string maps_text(pid_t pid) {
  const int fd = open(("/proc/" + std::to_string(pid) + "/maps").c_str(), O_RDONLY | O_CLOEXEC);
  std::string text;
  size_t size = 0;
  while (fd >= 0) {
    text.resize(size + 0x4000);
    const ssize_t got = ::read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<size_t>(got);
  }
  if (fd >= 0) close(fd);
  text.resize(size);
  return text;
}

}  // namespace

std::vector<MapsEntry> read_maps(pid_t pid) {
  const std::string text = maps_text(pid);
  std::vector<MapsEntry> entries;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](int base) {
    uint64_t value = 0;
    at = std::from_chars(at, end, value, base).ptr;
    if (at != end) ++at;  // what separates it from the next
    return value;
  };
  // start-end prot offset major:minor inode path (proc_pid_maps(5))
  while (at < end) {
    MapsEntry e;
    e.start = number(16);
    e.end = number(16);
    if (end - at < 5) break;
    e.prot = (at[0] == 'r' ? PROT_READ : 0) | (at[1] == 'w' ? PROT_WRITE : 0) |
             (at[2] == 'x' ? PROT_EXEC : 0);
    e.shared = at[3] == 's';
    at += 5;
    e.offset = number(16);
    const uint64_t major = number(16);
    e.device = major << 32 | number(16);
    const char* line = std::find(at, end, '\n');
    e.inode = number(10);
    at = std::find_if(std::min(at, line), line, [](char c) { return c != ' '; });
    e.path.assign(at, line);
    entries.push_back(std::move(e));
    at = line == end ? end : line + 1;
  }
  return entries;
}

}  // namespace heddle
