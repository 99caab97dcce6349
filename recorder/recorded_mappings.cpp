// What shows in the program's memory of files and shared segments, and what changes it from behind.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "machine/syscalls/file_changes.h"
#include "recorder/outside_mappings.h"
#include "recorder/recorder.h"

namespace heddle {
namespace {

constexpr uint64_t kPage = 0x1000;
// In place of a device: segments of System V shared memory, by their id.
constexpr uint64_t kSegments = ~uint64_t{0};

uint64_t page_up(uint64_t n) {
  return (n + kPage - 1) & ~(kPage - 1);
}

FileIdentity identity(const struct stat& info) {
  return {info.st_dev, info.st_ino};
}

bool is_dev_zero(const struct stat& info) {
  return S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 5);
}

// The position and flags of a descriptor, from /proc/PID/fdinfo/N.
struct DescriptorInfo {
  uint64_t position = 0;
  int flags = 0;
};
DescriptorInfo descriptor_info(pid_t pid, int descriptor) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/fdinfo/" + std::to_string(descriptor));
  DescriptorInfo info;
  std::string name;
  if (in >> name >> info.position >> name >> std::oct >> info.flags) return info;
  return {};
}

// The bytes [offset, offset + size) of a file, without trailing zeros that lie in holes.
std::vector<uint8_t> file_bytes(int fd, uint64_t offset, uint64_t size) {
  std::vector<uint8_t> bytes;
  auto at = static_cast<off_t>(offset);
  const auto end = static_cast<off_t>(offset + size);
  while (at < end) {
    const off_t data = lseek(fd, at, SEEK_DATA);
    if (data < 0 || data >= end) break;
    const off_t hole = std::min(lseek(fd, data, SEEK_HOLE), end);
    const auto from = static_cast<size_t>(data) - offset;
    bytes.resize(static_cast<size_t>(hole) - offset);
    size_t done = 0;
    while (data + static_cast<off_t>(done) < hole) {
      const ssize_t got = pread(fd, bytes.data() + from + done, bytes.size() - from - done,
                                data + static_cast<off_t>(done));
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    at = hole;
  }
  return bytes;
}

}  // namespace

std::string Recorder::descriptor_path(int descriptor) const {
  return "/proc/" + std::to_string(process_.pid()) + "/fd/" + std::to_string(descriptor);
}

bool Recorder::is_regular_file(int descriptor) const {
  struct stat info {};
  return stat(descriptor_path(descriptor).c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

void Recorder::follow_image(const event::Exec& image) {
  for (const auto& mapping : image.mappings) {
    struct stat info {};
    if (mapping.file && stat(mapping.path.c_str(), &info) == 0)
      files_.add(mapping.start, {mapping.size, identity(info), mapping.file->offset, false});
  }
}

void Recorder::taint(const Task& task, const std::string& reason) {
  if (reason.empty() || taints_.contains(reason)) return;
  taints_[reason] = append(task, event::Taint{reason}).number;
}

// A call that changed the address space: what it shows now, and which code is gone.
std::string Recorder::follow_mapping(const Call& call, event::Syscall& e) {
  const auto& a = call.arguments;
  if (call.result < 0 && call.result > -4096) return {};
  const auto result = static_cast<uint64_t>(call.result);
  switch (e.number) {
    case SYS_mmap:
      cache_->invalidate(result, page_up(a[1]));
      if (a[3] & MAP_ANONYMOUS) {
        files_.remove(result, page_up(a[1]));
        return {};
      }
      return map_file(call, e);
    case SYS_munmap:
      cache_->invalidate(a[0], page_up(a[1]));
      files_.remove(a[0], page_up(a[1]));
      return {};
    case SYS_mprotect:
      cache_->invalidate(a[0], page_up(a[1]));
      return {};
    case SYS_mremap:
      cache_->invalidate(a[0], page_up(a[1]));
      cache_->invalidate(result, page_up(a[2]));
      files_.move(a[0], page_up(a[1]), result, page_up(a[2]));
      return {};
    case SYS_shmat:
      return attach_segment(call, e);
    case SYS_shmdt: {
      const auto view = files_.at(a[0]);
      if (!view) return {};
      e.file = FileRange{"", 0, files_.object(view->file), view->size};
      cache_->invalidate(a[0], view->size);
      files_.remove(a[0], view->size);
      return {};
    }
    default:
      return {};
  }
}

std::string Recorder::map_file(const Call& call, event::Syscall& e) {
  const auto& a = call.arguments;
  const auto start = static_cast<uint64_t>(call.result);
  const auto path = descriptor_path(static_cast<int>(a[4]));
  struct stat info {};
  files_.remove(start, page_up(a[1]));
  if (stat(path.c_str(), &info) != 0) return "a mapped file cannot be examined";
  if (is_dev_zero(info)) return {};
  if (!S_ISREG(info.st_mode)) return "a device is mapped: what it shows is not captured";
  const bool shared = (a[3] & MAP_TYPE) != MAP_PRIVATE;
  files_.add(start, {page_up(a[1]), identity(info), a[5], shared});
  if (!shared) {
    e.file = FileRange{trace_.pin(path), a[5]};
    return {};
  }
  e.file = FileRange{"", a[5], files_.make_object(identity(info)), 0};
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return "a file that is mapped shared cannot be read";
  fstat(fd, &info);
  e.file->object_size = static_cast<uint64_t>(info.st_size);
  files_.object_size(e.file->object) = e.file->object_size;
  if (e.file->object_size > a[5]) {
    const auto bytes = file_bytes(fd, a[5], std::min(page_up(a[1]), e.file->object_size - a[5]));
    if (!bytes.empty()) e.file->content = trace_.pin(bytes);
  }
  close(fd);
  return written_by_others(process_.pid(), start)
             ? "a file is mapped shared that another process maps and can write"
             : "";
}

std::string Recorder::attach_segment(const Call& call, event::Syscall& e) {
  const auto start = static_cast<uint64_t>(call.result);
  const auto segment = static_cast<int>(call.arguments[0]);
  const FileIdentity file{kSegments, static_cast<uint64_t>(segment)};
  shmid_ds info{};
  if (shmctl(segment, IPC_STAT, &info) != 0) return "a shared segment cannot be examined";
  const uint64_t size = page_up(info.shm_segsz);
  files_.add(start, {size, file, 0, true});
  std::vector<uint8_t> bytes(size);
  bytes.resize(process_.memory().read(start, bytes));
  e.file = FileRange{"", 0, files_.make_object(file), size};
  if (std::ranges::any_of(bytes, [](uint8_t b) { return b != 0; }))
    e.file->content = trace_.pin(bytes);
  return info.shm_nattch > files_.showing(file, 0, size).size()
             ? "a shared memory segment is attached to another process too"
             : "";
}

// A call that changed a file that shows in memory: its new size, and what the memory holds now.
void Recorder::follow_file(const Call& call, event::Syscall& e) {
  const auto change = file_change(*call.entry, call.actual, call.result, process_.memory());
  if (!change) return;
  struct stat info {};
  if (change->descriptor >= 0) {
    if (stat(descriptor_path(change->descriptor).c_str(), &info) != 0) return;
  } else {
    const auto name = process_.memory().string(change->path);
    const std::string root = "/proc/" + std::to_string(process_.pid());
    const auto path = name && name->starts_with("/") ? root + "/root" + *name
                                                     : root + "/cwd/" + name.value_or("");
    if (stat(path.c_str(), &info) != 0) return;
  }
  const auto file = identity(info);
  if (!files_.shows(file)) return;
  auto where = change->where;
  uint64_t offset = change->offset;
  if (change->descriptor >= 0 && where != FileChange::Where::resize) {
    const auto now = descriptor_info(process_.pid(), change->descriptor);
    if (where == FileChange::Where::before) offset = now.position - change->size;
    if (where == FileChange::Where::at && (now.flags & O_APPEND)) where = FileChange::Where::all;
  }
  const uint32_t object = files_.object(file);
  const auto size = static_cast<uint64_t>(info.st_size);
  if (object != 0 && files_.object_size(object) != size) {
    files_.object_size(object) = size;
    e.file = FileRange{"", 0, object, size};
  }
  constexpr uint64_t kAll = ~uint64_t{0};
  const auto changed = where == FileChange::Where::resize ? files_.showing(file, 0, kAll, true)
                       : where == FileChange::Where::all
                           ? files_.showing(file, 0, kAll)
                           : files_.showing(file, offset, change->size);
  for (auto& effect : contents(changed, process_.memory())) {
    cache_->invalidate(effect.address, effect.bytes.size());
    e.effects.push_back(std::move(effect));
  }
}

}  // namespace heddle
