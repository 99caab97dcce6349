#include "explorer/resident_guest.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "machine/pages.h"
#include "machine/syscalls/effects.h"

namespace heddle {
namespace {

constexpr uint64_t kStackSize = uint64_t{8} << 20;  // as Guest's

}  // namespace

ResidentGuest::ResidentGuest(const event::Exec& exec, PinnedFiles files,
                             const translator::Options& options)
    : cpu_(memory_, options), files_(std::move(files)) {
  for (const auto& mapping : exec.mappings) {
    if (mapping.flags & MAP_SHARED)
      throw ResidentUnavailable("the program begins with shared memory");
    uint64_t start = mapping.start, size = mapping.size;
    if (mapping.path == "[stack]" && size < kStackSize) {
      start = mapping.start + mapping.size - kStackSize;
      size = kStackSize;
    }
    const int64_t got = mapping.file ? map_file(start, size, mapping.prot, *mapping.file)
                                     : memory_.map(start, size, mapping.prot);
    if (is_error(got))
      throw std::system_error(static_cast<int>(-got), std::generic_category(),
                              "placing the mapping " + mapping.path);
  }
  apply(1, exec.contents);
  brk_start_ = now_.brk = exec.brk;
  Task first;
  first.context.task = 1;
  first.context.registers = exec.registers;
  now_.tasks.emplace(1, first);
}

std::shared_ptr<ModelGuest> ResidentGuest::start_run() {
  if (is_marked_) {
    memory_.rewind();
    now_ = marked_;
  } else {
    memory_.mark();
    marked_ = now_;
    is_marked_ = true;
  }
  return {std::shared_ptr<void>(), this};
}

ResidentGuest::Task& ResidentGuest::full(TaskId task) {
  const auto it = now_.tasks.find(task);
  if (it == now_.tasks.end())
    throw std::out_of_range("there is no task " + std::to_string(task) + " at this point");
  return it->second;
}

TaskContext& ResidentGuest::task(TaskId task) {
  return full(task).context;
}

Exit ResidentGuest::run(TaskId id, Ticks budget, uint64_t points) {
  Task& task = full(id);
  return cpu_.run(task.context, task.extended, budget, points);
}

std::optional<Exit> ResidentGuest::run_to(const Place& place) {
  Task& task = full(place.task);
  TaskContext& context = task.context;
  if (context.ticks < place.ticks) {
    const Exit exit =
        cpu_.run(context, task.extended, place.ticks - context.ticks, GuestCpu::kUnlimited);
    if (exit.kind != Exit::Kind::budget) return exit;
  }
  if (context.place() == place || context.ticks > place.ticks) return std::nullopt;
  const Exit exit = cpu_.run_exact(context, task.extended, {place.pc, place.phase});
  if (exit.kind != Exit::Kind::stop) return exit;
  return std::nullopt;
}

void ResidentGuest::add_task(TaskId parent, TaskId child, const SyscallRequest& request) {
  const auto clone = clone_arguments(request.number, request.arguments, memory_);
  if (!clone) throw std::runtime_error("the arguments of clone are not readable");
  Task made = full(parent);
  made.context = made.context.cloned(child, *clone);
  now_.tasks.insert_or_assign(child, made);
}

void ResidentGuest::fork_task(TaskId, TaskId, const SyscallRequest&) {
  throw ResidentUnavailable("the program makes a process with memory of its own");
}

void ResidentGuest::remove_task(TaskId task) {
  now_.tasks.erase(task);
}

int64_t ResidentGuest::map_file(uint64_t address, uint64_t size, uint64_t prot,
                                const FileRange& file) {
  const int fd = open(files_(file.content).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    throw std::system_error(errno, std::generic_category(),
                            "opening the pinned file " + file.content);
  const int64_t got = memory_.map(address, size, static_cast<uint32_t>(prot), fd, file.offset);
  close(fd);
  return got;
}

int64_t ResidentGuest::perform(const SyscallRequest& request, std::optional<int64_t> expected,
                               const std::optional<FileRange>& file) {
  const auto& a = request.arguments;
  if (request.number == SYS_madvise) {
    if (a[2] != MADV_DONTNEED && a[2] != MADV_FREE) return 0;
    return memory_.forget(a[0], page_up(a[1]));
  }
  if (request.number == SYS_brk) return remap(request, expected, file);
  // What is named and what comes out; a mapping's address is no more than a wish.
  const uint64_t size = page_up(a[1]);
  const uint64_t named =
      request.number == SYS_mmap && expected ? static_cast<uint64_t>(*expected) : a[0];
  const bool had_code = memory_.holds_code(named, size);
  const int64_t got = remap(request, expected, file);
  if (is_error(got)) return got;
  const auto at = static_cast<uint64_t>(got);
  const bool moved = request.number == SYS_mremap && at != named;
  if (had_code || memory_.holds_code(named, size)) cpu_.code_changed(named, size);
  if (moved && memory_.holds_code(at, page_up(a[2]))) cpu_.code_changed(at, page_up(a[2]));
  return got;
}

int64_t ResidentGuest::remap(const SyscallRequest& request, std::optional<int64_t> expected,
                             const std::optional<FileRange>& file) {
  const auto& a = request.arguments;
  switch (request.number) {
    case SYS_brk: {
      const uint64_t wanted = a[0] < brk_start_ ? now_.brk : a[0];
      const uint64_t from = page_up(now_.brk), to = page_up(wanted);
      if (to > from)
        memory_.map(from, to - from, PROT_READ | PROT_WRITE);
      else if (to < from)
        memory_.unmap(to, from - to);
      return static_cast<int64_t>(now_.brk = wanted);
    }
    case SYS_mmap: {
      const uint64_t address = expected ? static_cast<uint64_t>(*expected) : a[0];
      const bool anonymous = a[3] & MAP_ANONYMOUS;
      if ((file && file->object != 0) || (!anonymous && !file) ||
          (!anonymous && (a[3] & MAP_TYPE) != MAP_PRIVATE))
        throw ResidentUnavailable("the program maps a file shared");
      // What is shared with nobody is private: there is one process.
      return file ? map_file(address, a[1], a[2], *file)
                  : memory_.map(address, a[1], static_cast<uint32_t>(a[2]));
    }
    case SYS_mremap:
      return memory_.remap(a[0], a[1], expected ? static_cast<uint64_t>(*expected) : a[0], a[2]);
    case SYS_munmap:
      return memory_.unmap(a[0], a[1]);
    case SYS_mprotect:
      return memory_.protect(a[0], a[1], static_cast<uint32_t>(a[2]));
    default:
      throw std::logic_error("system call " + std::to_string(request.number) +
                             " has no effect on the address space that can be repeated");
  }
}

bool ResidentGuest::push_frame(TaskId id, SignalState& signals, const SignalInfo& info,
                               std::optional<uint64_t> mask_to_restore) {
  Task& task = full(id);
  auto raw = task.extended.raw();
  if (!enter_handler(task.context, raw, memory_, signals, info, mask_to_restore)) return false;
  task.extended.set(raw);
  return true;
}

bool ResidentGuest::pop_frame(TaskId id, SignalState& signals) {
  Task& task = full(id);
  auto raw = task.extended.raw();
  if (!leave_handler(task.context, raw, memory_, signals)) return false;
  task.extended.set(raw);
  return true;
}

}  // namespace heddle
