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

#include "machine/pages.h"

namespace heddle {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

// A memfd of the supervisor's.
class SharedObjects::Object {
 public:
  Object() : fd_(memfd_create("heddle-shared", MFD_CLOEXEC)) {
    if (fd_ < 0) fail("memfd_create");
    struct stat info {};
    if (fstat(fd_, &info) != 0) fail("examining a shared object");
    inode_ = info.st_ino;
  }
  ~Object() { close(fd_); }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  uint64_t inode() const { return inode_; }
  uint64_t size() const { return size_; }

  void resize(uint64_t size) {
    if (size != size_ && ftruncate(fd_, static_cast<off_t>(size)) != 0)
      fail("sizing a shared object");
    size_ = size;
  }

  void write(uint64_t offset, std::span<const uint8_t> bytes) {
    if (pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) !=
        static_cast<ssize_t>(bytes.size()))
      fail("writing a shared object");
    size_ = std::max(size_, offset + bytes.size());
  }

  // [offset, offset + size) becomes what the file at `path` has, then zeros; its size stays.
  void fill(uint64_t offset, uint64_t size, const std::filesystem::path& path) {
    const uint64_t kept = size_;
    if (!path.empty()) {
      const int from = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (from < 0) throw std::system_error(errno, std::generic_category(), path.string());
      std::vector<uint8_t> piece(1 << 20);
      while (size > 0) {
        const ssize_t got = read(from, piece.data(), std::min(piece.size(), size));
        if (got <= 0) break;
        write(offset, std::span(piece).first(static_cast<size_t>(got)));
        offset += static_cast<uint64_t>(got);
        size -= static_cast<uint64_t>(got);
      }
      close(from);
    }
    if (size > 0)
      fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                static_cast<off_t>(size));
    resize(kept);
  }

  std::shared_ptr<Object> copy() const {
    auto other = std::make_shared<Object>();
    other->resize(size_);
    off_t at = 0;
    while (true) {  // data by data: the zeros of a hole stay one
      off_t data = lseek(fd_, at, SEEK_DATA);
      if (data < 0) return other;
      at = lseek(fd_, data, SEEK_HOLE);
      lseek(other->fd_, data, SEEK_SET);
      while (data < at)
        if (sendfile(other->fd_, fd_, &data, static_cast<size_t>(at - data)) <= 0)
          fail("copying a shared object");
    }
  }

  int64_t map(HostProcess& process, uint64_t address, uint64_t size, uint64_t prot, uint64_t flags,
              uint64_t offset) const {
    const uint64_t path =
        process.stage("/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_));
    const int64_t fd = process.remote_syscall(SYS_open, {path, O_RDWR | O_CLOEXEC, 0});
    if (is_error(fd)) return fd;
    constexpr uint64_t kDropped = MAP_TYPE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_SYNC | MAP_GROWSDOWN;
    const int64_t got = process.remote_syscall(
        SYS_mmap,
        {address, size, prot, (flags & ~kDropped) | MAP_SHARED, static_cast<uint64_t>(fd), offset});
    process.remote_syscall(SYS_close, {static_cast<uint64_t>(fd)});
    return got;
  }

 private:
  int fd_;
  uint64_t inode_ = 0;
  uint64_t size_ = 0;
};

SharedObjects::Object& SharedObjects::object(uint64_t number) {
  auto& found = objects_[number];
  if (!found) found = std::make_shared<Object>();
  return *found;
}

int64_t SharedObjects::map(HostProcess& process, const FileRange& file,
                           const std::filesystem::path& contents, uint64_t address, uint64_t size,
                           uint64_t prot, uint64_t flags) {
  Object& shown = object(file.object);
  shown.resize(file.object_size);
  shown.fill(file.offset, page_up(size), contents);
  return shown.map(process, address, size, prot, flags, file.offset);
}

int64_t SharedObjects::map_anonymous(HostProcess& process, uint64_t address, uint64_t size,
                                     uint64_t prot, uint64_t flags) {
  uint64_t number = kAnonymous;
  if (!objects_.empty()) number = std::max(number, objects_.rbegin()->first + 1);
  object(number).resize(page_up(size));
  return object(number).map(process, address, size, prot, flags, 0);
}

void SharedObjects::update(const FileRange& file, std::span<const uint8_t> bytes) {
  object(file.object).resize(file.object_size);
  if (!bytes.empty()) object(file.object).write(file.offset, bytes);
}

bool SharedObjects::write(const HostProcess& process, uint64_t address,
                          std::span<const uint8_t> bytes) const {
  const auto maps = read_maps(process.pid());
  while (!bytes.empty()) {
    const auto entry = std::ranges::find_if(
        maps, [&](const MapsEntry& e) { return e.start <= address && address < e.end; });
    if (entry == maps.end() || !entry->shared) return false;
    const auto shown = std::ranges::find_if(
        objects_, [&](const auto& o) { return o.second->inode() == entry->inode; });
    if (shown == objects_.end()) return false;
    const size_t n = std::min<uint64_t>(bytes.size(), entry->end - address);
    shown->second->write(entry->offset + (address - entry->start), bytes.first(n));
    address += n;
    bytes = bytes.subspan(n);
  }
  return true;
}

std::shared_ptr<SharedObjects> SharedObjects::separate(HostProcess& child) const {
  auto copies = std::make_shared<SharedObjects>();
  if (objects_.empty()) return copies;
  const auto maps = read_maps(child.pid());
  for (const auto& [number, shown] : objects_) {
    const auto copy = copies->objects_[number] = shown->copy();
    for (const auto& entry : maps) {
      if (!entry.shared || entry.inode != shown->inode()) continue;
      const int64_t got = copy->map(child, entry.start, entry.end - entry.start, entry.prot,
                                    MAP_FIXED, entry.offset);
      if (is_error(got))
        throw std::system_error(static_cast<int>(-got), std::generic_category(),
                                "mapping the copy of a shared object");
    }
  }
  return copies;
}

}  // namespace heddle
