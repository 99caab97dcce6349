#include "machine/tracee/syscall_log.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "trace_format/logged_calls.h"

namespace heddle {

static_assert(2 * SyscallLog::kSize <= layout::kSyscallLog.size);

namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, int error) {
  throw std::system_error(error, std::generic_category(), "mapping " + path.string());
}

// Made present at once, which costs less than a fault at each page; most programs need no more.
constexpr uint64_t kFirstPart = 0x1'0000;

heddle_log* other(heddle_log* first, const heddle_log* log) {
  if (log != first) return first;
  return reinterpret_cast<heddle_log*>(reinterpret_cast<uint8_t*>(first) + SyscallLog::kSize);
}

}  // namespace

SyscallLog::SyscallLog(HostProcess& process, const std::filesystem::path& file)
    : path_(std::filesystem::absolute(file)) {
  const int fd = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) refuse(path_, errno);
  // Allocated now: a full disk must be an error here, not a SIGBUS in the program.
  const int error = posix_fallocate(fd, 0, 2 * kSize);
  void* here =
      error ? MAP_FAILED : mmap(nullptr, 2 * kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int code = error ? error : errno;
  close(fd);
  if (here == MAP_FAILED) refuse(path_, code);
  // Or the first store would have the kernel read all of it, zeros, ahead.
  madvise(here, 2 * kSize, MADV_RANDOM);
  first_ = static_cast<heddle_log*>(here);
  for (heddle_log* log : {other(first_, first_), first_}) {
    log_ = log;
    *log_ = {};
    log_->magic = HEDDLE_LOG_MAGIC;
    log_->mode = HEDDLE_LOG_RECORD;
    log_->capacity = kCapacity;
    clear(0);
  }
  if (!attach(process)) refuse(path_, EACCES);
}

bool SyscallLog::attach(HostProcess& process) {
  // The process opens it by itself; the descriptor is gone before the program runs.
  const uint64_t name = process.stage(path_.string());
  const int64_t remote = process.remote_syscall(SYS_open, {name, O_RDWR | O_CLOEXEC, 0});
  if (remote == -EACCES || remote == -EPERM || remote == -ENOENT || remote == -ENOTDIR) {
    // It has become another user's, or its root is another: it gets an empty header.
    const int64_t empty = process.remote_syscall(
        SYS_mmap, {layout::kSyscallLog.start, 0x1000, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, ~uint64_t{0}, 0});
    if (empty < 0) refuse(path_, static_cast<int>(-empty));
    return false;
  }
  if (remote < 0) refuse(path_, static_cast<int>(-remote));
  const auto descriptor = static_cast<uint64_t>(remote);
  std::array<RemoteCall, 4> calls{
      {{SYS_mmap,
        {layout::kSyscallLog.start, 2 * kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
         descriptor, 0},
        0},
       {SYS_madvise, {layout::kSyscallLog.start, 2 * kSize, MADV_RANDOM}, 0},
       {SYS_madvise, {layout::kSyscallLog.start, kFirstPart, MADV_POPULATE_WRITE}, 0},
       {SYS_close, {descriptor}, 0}}};
  process.remote_syscalls(process.thread(), calls);
  if (calls[0].result < 0) refuse(path_, static_cast<int>(-calls[0].result));
  return true;
}

SyscallLog::~SyscallLog() {
  munmap(first_, 2 * kSize);
}

std::span<const uint8_t> SyscallLog::entries() const {
  const uint64_t word = __atomic_load_n(&log_->used, __ATOMIC_ACQUIRE);
  const auto used = static_cast<uint32_t>(word);
  if (word != heddle_log_count(used) || used > kCapacity)
    throw std::logic_error("the log of system calls is damaged: the program wrote to it");
  return {reinterpret_cast<const uint8_t*>(log_ + 1), used};
}

std::span<const uint8_t> SyscallLog::changes() {
  const auto all = entries();
  const auto begin = std::exchange(followed_, all.size());
  if (std::exchange(changes_, log_->taken) == log_->taken) return {};
  return all.subspan(begin);
}

void SyscallLog::clear(uint64_t first_event) {
  log_->calls = 0;
  log_->taken = 0;
  changes_ = 0;
  followed_ = 0;
  __atomic_store_n(&log_->used, heddle_log_count(0), __ATOMIC_RELEASE);
  log_->first_event = first_event;
}

void SyscallLog::turn(uint64_t first_event, HostProcess& process, HostThread& by) {
  log_ = other(first_, log_);
  clear(first_event);
  const uint64_t offset = log_ == first_ ? 0 : kSize;
  if (!turned_)
    process.remote_syscall(
        by, SYS_madvise, {layout::kSyscallLog.start + offset, kSize, MADV_POPULATE_WRITE, 0, 0, 0});
  turned_ = true;
  __atomic_store_n(&first_->in_use, offset, __ATOMIC_RELEASE);
}

}  // namespace heddle
