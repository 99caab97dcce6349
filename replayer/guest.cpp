#include "replayer/guest.h"

#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "machine/syscalls/effects.h"

namespace heddle {
namespace {

constexpr uint64_t kPage = 0x1000;
// What the kernel would let the first stack grow to (the default RLIMIT_STACK).
constexpr uint64_t kStackSize = uint64_t{8} << 20;

uint64_t page_up(uint64_t n) {
  return (n + kPage - 1) & ~(kPage - 1);
}

[[noreturn]] void refuse(int64_t result, const std::string& what) {
  throw std::system_error(static_cast<int>(-result), std::generic_category(), what);
}

bool is_error(int64_t result) {
  return result < 0 && result > -4096;
}

}  // namespace

Guest::Guest(const event::Exec& exec, PinnedFiles files, const translator::Options& options)
    : process_(HostProcess::start_empty()), files_(std::move(files)) {
  cache_ = std::make_shared<CodeCache>(process_.shared_code(), options);
  for (const auto& mapping : exec.mappings) {
    uint64_t start = mapping.start;
    uint64_t size = mapping.size;
    if (mapping.path == "[stack]" && size < kStackSize) {
      start = mapping.start + mapping.size - kStackSize;
      size = kStackSize;
    }
    int64_t got;
    if (mapping.file) {
      got = map_file(start, size, mapping.prot, MAP_FIXED | MAP_PRIVATE, *mapping.file,
                     mapping.file->offset);
    } else {
      got = process_.remote_syscall(
          SYS_mmap, {start, size, mapping.prot,
                     MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull, 0});
    }
    if (is_error(got)) refuse(got, "placing the mapping " + mapping.path);
  }
  if (options.log_accesses) {
    const auto size =
        layout::kAccessLog.size - kPage;  // the last page stays inaccessible: the guard
    const int64_t got = process_.remote_syscall(
        SYS_mmap, {layout::kAccessLog.start, size, PROT_READ | PROT_WRITE,
                   MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull, 0});
    if (is_error(got)) refuse(got, "placing the access log");
  }
  apply(exec.contents);
  brk_start_ = brk_ = exec.brk;
  cpu_ = std::make_unique<GuestCpu>(process_, *cache_, process_.thread(), 1);
  TaskContext first;
  first.task = 1;
  first.registers = exec.registers;
  tasks_[1] = first;
}

Guest::~Guest() {
  try {
    process_.kill();
  } catch (const std::exception&) {
    // The process is gone already.
  }
}

std::unique_ptr<Guest> Guest::fork() {
  std::unique_ptr<Guest> copy(new Guest());
  copy->process_ = process_.fork_checkpoint();
  copy->cache_ = cache_;
  copy->files_ = files_;
  copy->tasks_ = tasks_;
  copy->extended_ = extended_;
  copy->current_ = current_;
  copy->brk_start_ = brk_start_;
  copy->brk_ = brk_;
  copy->shared_ = shared_;
  copy->shared_.separate(copy->process_);
  copy->cpu_ = std::make_unique<GuestCpu>(copy->process_, *cache_, copy->process_.thread(), 1);
  return copy;
}

TaskContext& Guest::task(TaskId task) {
  const auto it = tasks_.find(task);
  if (it == tasks_.end())
    throw std::out_of_range("there is no task " + std::to_string(task) + " at this point");
  return it->second;
}

void Guest::activate(TaskId next) {
  if (next == current_) return;
  if (tasks_.contains(current_)) extended_[current_] = process_.thread().extended_state();
  const auto it = extended_.find(next);
  if (it == extended_.end()) throw std::logic_error("a task without extended registers");
  process_.thread().set_extended_state(it->second);
  current_ = next;
}

void Guest::add_task(TaskId parent, TaskId child, const SyscallRequest& request) {
  const auto clone = clone_arguments(request.number, request.arguments, memory());
  if (!clone) throw std::runtime_error("the arguments of clone are not readable");
  TaskContext context;
  context.task = child;
  context.registers = task(parent).registers;
  auto& r = context.registers;
  r[Register::rip] += 2;
  r[Register::rcx] = r[Register::rip];
  r[Register::r11] = r[Register::rflags];
  r[Register::rax] = 0;
  if (clone->stack != 0) r[Register::rsp] = clone->stack;
  if (clone->flags & 0x80000 /* CLONE_SETTLS */) r[Register::fs_base] = clone->tls;
  tasks_[child] = context;
  activate(parent);
  extended_[child] = process_.thread().extended_state();
}

void Guest::remove_task(TaskId task) {
  tasks_.erase(task);
  extended_.erase(task);
}

Exit Guest::run(TaskId id, Ticks budget, uint64_t points) {
  activate(id);
  return cpu_->run(task(id), budget, points);
}

std::optional<Exit> Guest::run_to(const Place& place) {
  TaskContext& context = task(place.task);
  activate(place.task);
  if (context.ticks < place.ticks) {
    const Exit exit = cpu_->run(context, place.ticks - context.ticks);
    if (exit.kind != Exit::Kind::budget) return exit;
  }
  if (context.place() == place || context.ticks > place.ticks) return std::nullopt;
  const Exit exit = cpu_->run_exact(context, {place.pc, place.phase});
  if (exit.kind != Exit::Kind::stop) return exit;
  return std::nullopt;
}

SyscallRequest Guest::request(TaskId id) {
  const TaskContext& context = task(id);
  const auto& r = context.registers;
  return {r[Register::rax],
          {r[Register::rdi], r[Register::rsi], r[Register::rdx], r[Register::r10], r[Register::r8],
           r[Register::r9]},
          context.place()};
}

void Guest::complete(TaskId id, int64_t result) {
  auto& r = task(id).registers;
  r[Register::rax] = static_cast<uint64_t>(result);
  r[Register::rip] += 2;
  r[Register::rcx] = r[Register::rip];
  r[Register::r11] = r[Register::rflags];
}

void Guest::complete(TaskId id, const event::Instruction& answer, unsigned length) {
  auto& r = task(id).registers;
  r[Register::rax] = answer.rax;
  r[Register::rbx] = answer.rbx;
  r[Register::rcx] = answer.rcx;
  r[Register::rdx] = answer.rdx;
  r[Register::rflags] = answer.rflags;
  r[Register::rip] += length;
}

void Guest::apply(const std::vector<MemoryEffect>& effects) {
  for (const auto& effect : effects) {
    if (!memory().write(effect.address, effect.bytes) &&
        !shared_.write(process_, effect.address, effect.bytes)) {
      char where[32];
      std::snprintf(where, sizeof where, "0x%llx", static_cast<unsigned long long>(effect.address));
      throw std::runtime_error(std::string("a recorded memory effect at ") + where +
                               " falls on unmapped memory");
    }
  }
}

int64_t Guest::map_file(uint64_t address, uint64_t size, uint64_t prot, uint64_t flags,
                        const FileRange& file, uint64_t offset) {
  const uint64_t path = process_.stage(std::filesystem::absolute(files_(file.content)).string());
  const int64_t fd = process_.remote_syscall(SYS_open, {path, 0 /* O_RDONLY */, 0});
  if (is_error(fd)) refuse(fd, "opening the pinned file " + file.content);
  const int64_t got = process_.remote_syscall(
      SYS_mmap, {address, size, prot, (flags & ~uint64_t{MAP_SHARED | MAP_PRIVATE}) | MAP_PRIVATE,
                 static_cast<uint64_t>(fd), offset});
  process_.remote_syscall(SYS_close, {static_cast<uint64_t>(fd)});
  return got;
}

int64_t Guest::map_object(uint64_t address, uint64_t size, uint64_t prot, uint64_t flags,
                          const FileRange& file) {
  const auto contents = file.content.empty() ? std::filesystem::path() : files_(file.content);
  return shared_.map(process_, file, contents, address, size, prot, flags);
}

void Guest::resize_object(const FileRange& file) {
  shared_.resize(process_, file.object, file.object_size);
}

int64_t Guest::perform(const SyscallRequest& request, std::optional<int64_t> expected,
                       const std::optional<FileRange>& file) {
  const auto& a = request.arguments;
  if (expected && is_error(*expected)) return *expected;
  switch (request.number) {
    case SYS_brk: {
      uint64_t wanted = expected ? static_cast<uint64_t>(*expected) : a[0];
      if (wanted < brk_start_) wanted = brk_;
      const uint64_t from = page_up(brk_), to = page_up(wanted);
      if (to > from) {
        const int64_t got = process_.remote_syscall(
            SYS_mmap, {from, to - from, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, ~0ull, 0});
        if (is_error(got)) refuse(got, "growing the heap");
      } else if (to < from) {
        process_.remote_syscall(SYS_munmap, {to, from - to});
      }
      brk_ = wanted;
      return static_cast<int64_t>(brk_);
    }
    case SYS_mmap: {
      const uint64_t address = expected ? static_cast<uint64_t>(*expected) : a[0];
      const uint64_t flags = a[3] | (expected ? MAP_FIXED : 0);
      int64_t got;
      if (file && file->object != 0) {
        got = map_object(address, a[1], a[2], flags, *file);
      } else if (file) {
        got = map_file(address, a[1], a[2], flags, *file, file->offset);
      } else if ((flags & MAP_TYPE) == MAP_SHARED) {
        got = shared_.map_anonymous(process_, address, a[1], a[2], flags);
      } else {
        constexpr uint64_t kDropped = MAP_TYPE | MAP_GROWSDOWN | MAP_HUGETLB;
        got = process_.remote_syscall(
            SYS_mmap,
            {address, a[1], a[2], (flags & ~kDropped) | MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0});
      }
      if (!is_error(got)) cache_->invalidate(static_cast<uint64_t>(got), page_up(a[1]));
      if (expected && got != *expected) refuse(is_error(got) ? got : -EEXIST, "repeating mmap");
      return got;
    }
    case SYS_mremap: {
      auto arguments = a;
      if (expected && static_cast<uint64_t>(*expected) != a[0]) {
        arguments[3] |= MREMAP_MAYMOVE | MREMAP_FIXED;
        arguments[4] = static_cast<uint64_t>(*expected);
      } else if (expected) {
        arguments[3] &= ~uint64_t{MREMAP_MAYMOVE};
      }
      const int64_t got = process_.remote_syscall(SYS_mremap, arguments);
      cache_->invalidate(a[0], page_up(a[1]));
      if (expected && got != *expected) refuse(is_error(got) ? got : -EEXIST, "repeating mremap");
      return got;
    }
    case SYS_shmat: {
      if (!expected || !file) refuse(-EINVAL, "attaching a segment that the trace does not have");
      const auto address = static_cast<uint64_t>(*expected);
      const uint64_t prot =
          PROT_READ | (a[2] & SHM_RDONLY ? 0 : PROT_WRITE) | (a[2] & SHM_EXEC ? PROT_EXEC : 0);
      const int64_t got = map_object(address, file->object_size, prot, MAP_FIXED, *file);
      if (got != *expected) refuse(got, "repeating shmat");
      return got;
    }
    case SYS_shmdt:
      if (file) {
        process_.remote_syscall(SYS_munmap, {a[0], file->object_size});
        cache_->invalidate(a[0], file->object_size);
      }
      return expected.value_or(0);
    case SYS_munmap:
    case SYS_mprotect:
    case SYS_madvise: {
      auto arguments = a;
      // As it was recorded: the pages are lost at once.
      if (request.number == SYS_madvise && a[2] == MADV_FREE) arguments[2] = MADV_DONTNEED;
      const int64_t got = process_.remote_syscall(request.number, arguments);
      if (request.number != SYS_madvise) cache_->invalidate(a[0], page_up(a[1]));
      return expected ? *expected : got;
    }
    default:
      throw std::logic_error("system call " + std::to_string(request.number) +
                             " has no effect on the address space that can be repeated");
  }
}

ExtendedState Guest::extended_state(TaskId id) {
  activate(id);
  return canonical_state(process_.thread().extended_state());
}

void Guest::set_extended_state(TaskId id, const ExtendedState& state) {
  activate(id);
  process_.thread().set_extended_state(with_canonical(process_.thread().extended_state(), state));
}

bool Guest::push_frame(TaskId id, SignalState& signals, const SignalInfo& info,
                       std::optional<uint64_t> mask_to_restore) {
  TaskContext& context = task(id);
  const auto action = signals.action(info.number);
  const uint64_t mask = signals.mask(id);
  FrameRequest frame{};
  frame.info = info;
  frame.action = action;
  frame.old_mask = mask_to_restore.value_or(mask);
  frame.altstack = signals.alternate_stack(id);
  auto state = extended_state(id);
  if (!push_signal_frame(memory(), context.registers, state, frame, nullptr)) return false;
  set_extended_state(id, state);
  context.phase = 0;
  signals.set_mask(id, mask_in_handler(mask, action, info.number));
  if (action.flags & 0x80000000u /* SA_RESETHAND */) {
    auto reset = action;
    reset.handler = 0;
    signals.set_action(info.number, reset);
  }
  return true;
}

bool Guest::pop_frame(TaskId id, SignalState& signals) {
  TaskContext& context = task(id);
  const auto restored = pop_signal_frame(memory(), context.registers);
  if (!restored) return false;
  const uint64_t fs_base = context.registers[Register::fs_base];
  context.registers = restored->registers;
  context.registers[Register::fs_base] = fs_base;
  set_extended_state(id, restored->state);
  signals.set_mask(id, restored->mask);
  signals.alternate_stack(id) = restored->altstack;
  return true;
}

}  // namespace heddle
