#include "replayer/shared_objects.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

namespace heddle {
namespace {

bool is_error(int64_t result) {
  return result < 0 && result > -4096;
}

int64_t checked(int64_t result, const char* what) {
  if (is_error(result))
    throw std::system_error(static_cast<int>(-result), std::generic_category(), what);
  return result;
}

// The supervisor's own descriptor of one of the process's.
class Opened {
 public:
  Opened(pid_t pid, uint64_t descriptor)
      : fd_(open(("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(descriptor)).c_str(),
                 O_RDWR | O_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "opening a shared object");
  }
  ~Opened() { close(fd_); }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  int fd() const { return fd_; }

  struct stat status() const {
    struct stat info {};
    if (fstat(fd_, &info) != 0)
      throw std::system_error(errno, std::generic_category(), "examining a shared object");
    return info;
  }
  void resize(uint64_t size) const {
    if (ftruncate(fd_, static_cast<off_t>(size)) != 0)
      throw std::system_error(errno, std::generic_category(), "sizing a shared object");
  }
  bool write(uint64_t offset, std::span<const uint8_t> bytes) const {
    return pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(bytes.size());
  }
  // From the file at `path`, whole, to `offset`.
  void copy_from(const std::filesystem::path& path, uint64_t offset) const {
    const int from = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (from < 0) throw std::system_error(errno, std::generic_category(), path.string());
    std::vector<uint8_t> piece(1 << 20);
    bool good = true;
    while (good) {
      const ssize_t got = read(from, piece.data(), piece.size());
      if (got <= 0) break;
      good = write(offset, std::span(piece).first(static_cast<size_t>(got)));
      offset += static_cast<uint64_t>(got);
    }
    close(from);
    if (!good) throw std::system_error(errno, std::generic_category(), "filling a shared object");
  }

 private:
  int fd_;
};

// The zeros of a hole stay one.
void copy_object(const Opened& from, const Opened& to) {
  const off_t size = from.status().st_size;
  to.resize(static_cast<uint64_t>(size));
  off_t at = 0;
  while (at < size) {
    off_t data = lseek(from.fd(), at, SEEK_DATA);
    if (data < 0) break;
    const off_t hole = lseek(from.fd(), data, SEEK_HOLE);
    lseek(to.fd(), data, SEEK_SET);
    while (data < hole) {
      if (sendfile(to.fd(), from.fd(), &data, static_cast<size_t>(hole - data)) <= 0)
        throw std::system_error(errno, std::generic_category(), "copying a shared object");
    }
    at = hole;
  }
}

constexpr uint64_t kSharing = MAP_SHARED | MAP_PRIVATE | MAP_SHARED_VALIDATE;

}  // namespace

SharedObjects::Object SharedObjects::make(HostProcess& process) {
  const uint64_t name = process.stage(std::string("heddle-shared"));
  Object object;
  object.descriptor = static_cast<uint64_t>(
      checked(process.remote_syscall(SYS_memfd_create, {name, MFD_CLOEXEC}), "memfd_create"));
  object.inode = Opened(process.pid(), object.descriptor).status().st_ino;
  return object;
}

int64_t SharedObjects::map(HostProcess& process, const FileRange& file,
                           const std::filesystem::path& contents, uint64_t address, uint64_t size,
                           uint64_t prot, uint64_t flags) {
  auto it = objects_.find(file.object);
  if (it == objects_.end()) it = objects_.emplace(file.object, make(process)).first;
  const Opened object(process.pid(), it->second.descriptor);
  if (static_cast<uint64_t>(object.status().st_size) != file.object_size)
    object.resize(file.object_size);
  if (!contents.empty()) object.copy_from(contents, file.offset);
  constexpr uint64_t kDropped = kSharing | MAP_ANONYMOUS | MAP_HUGETLB | MAP_SYNC | MAP_GROWSDOWN;
  return process.remote_syscall(SYS_mmap, {address, size, prot, (flags & ~kDropped) | MAP_SHARED,
                                           it->second.descriptor, file.offset});
}

int64_t SharedObjects::map_anonymous(HostProcess& process, uint64_t address, uint64_t size,
                                     uint64_t prot, uint64_t flags) {
  FileRange file;
  file.object_size = (size + 0xfff) & ~uint64_t{0xfff};
  uint64_t number = kAnonymous;
  if (!objects_.empty()) number = std::max(number, objects_.rbegin()->first + 1);
  const Object object = make(process);
  objects_[number] = object;
  Opened(process.pid(), object.descriptor).resize(file.object_size);
  constexpr uint64_t kDropped = kSharing | MAP_ANONYMOUS | MAP_HUGETLB | MAP_GROWSDOWN;
  return process.remote_syscall(
      SYS_mmap, {address, size, prot, (flags & ~kDropped) | MAP_SHARED, object.descriptor, 0});
}

void SharedObjects::resize(HostProcess& process, uint32_t object, uint64_t size) {
  const auto it = objects_.find(object);
  if (it != objects_.end()) Opened(process.pid(), it->second.descriptor).resize(size);
}

bool SharedObjects::write(const HostProcess& process, uint64_t address,
                          std::span<const uint8_t> bytes) const {
  const auto maps = read_maps(process.pid());
  while (!bytes.empty()) {
    const auto entry = std::ranges::find_if(
        maps, [&](const MapsEntry& e) { return e.start <= address && address < e.end; });
    if (entry == maps.end()) return false;
    const size_t n = std::min<uint64_t>(bytes.size(), entry->end - address);
    const auto object = std::ranges::find_if(
        objects_, [&](const auto& o) { return entry->shared && o.second.inode == entry->inode; });
    if (object == objects_.end() ||
        !Opened(process.pid(), object->second.descriptor)
             .write(entry->offset + (address - entry->start), bytes.first(n)))
      return false;
    address += n;
    bytes = bytes.subspan(n);
  }
  return true;
}

void SharedObjects::separate(HostProcess& child) {
  if (objects_.empty()) return;
  const auto maps = read_maps(child.pid());
  for (auto& [number, object] : objects_) {
    const uint64_t name = child.stage(std::string("heddle-shared"));
    const auto fresh = static_cast<uint64_t>(
        checked(child.remote_syscall(SYS_memfd_create, {name, MFD_CLOEXEC}), "memfd_create"));
    copy_object(Opened(child.pid(), object.descriptor), Opened(child.pid(), fresh));
    for (const auto& entry : maps)
      if (entry.shared && entry.inode == object.inode)
        checked(child.remote_syscall(SYS_mmap, {entry.start, entry.end - entry.start, entry.prot,
                                                MAP_SHARED | MAP_FIXED, fresh, entry.offset}),
                "mapping a copy of a shared object");
    child.remote_syscall(SYS_dup2, {fresh, object.descriptor});
    child.remote_syscall(SYS_close, {fresh});
    object.inode = Opened(child.pid(), object.descriptor).status().st_ino;
  }
}

}  // namespace heddle
