#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "machine/pages.h"
#include "machine/syscalls/given.h"
#include "machine/syscalls/refused.h"
#include "machine/tracee/fixed_addresses.h"
#include "recorder/descriptors.h"
#include "recorder/recorder.h"

namespace heddle {
namespace {

constexpr int kRestartSys = -512, kRestartNoIntr = -513, kRestartNoHand = -514,
              kRestartBlock = -516;  // include/linux/errno.h
constexpr int kQuickPolls = 200;     // looks at a call that may block before the token goes on

// Has the kernel begun the call, and not been told that it is over?
bool in_call(const user_regs_struct& regs) {
  return regs.orig_rax != ~0ull;
}

}  // namespace

void Recorder::syscall(Task& task, bool waits) {
  const auto& r = task.context.registers;
  const uint64_t number = r[Register::rax];
  const SyscallArguments arguments{r[Register::rdi], r[Register::rsi], r[Register::rdx],
                                   r[Register::r10], r[Register::r8],  r[Register::r9]};
  const auto* entry = find(number);
  ++stopped_calls_[number];
  const auto refuse = [&](int error) {
    append(task,
           event::Syscall{static_cast<uint32_t>(number), arguments, -error, {}, {}, 0, false});
    task.context.complete_call(-error);
  };
  if (const auto error = entry ? refused(*entry, arguments) : std::nullopt) return refuse(*error);
  switch (entry ? entry->replay : Replay::refused) {
    case Replay::unsupported:
      throw std::runtime_error(std::string("the program made system call ") + entry->name +
                               ", which heddle does not record");
    case Replay::refused:
      refuse(ENOSYS);
      return;
    case Replay::virtualised:
      virtual_call(task, *entry, arguments);
      return;
    default:
      start_call(task, *entry, arguments, waits);
  }
}

std::vector<std::pair<std::string, uint64_t>> Recorder::stopped_calls(size_t limit) const {
  std::vector<std::pair<std::string, uint64_t>> calls;
  for (const auto& [number, times] : stopped_calls_) {
    const auto* entry = find(number);
    calls.emplace_back(entry ? entry->name : std::to_string(number), times);
  }
  std::ranges::stable_sort(calls, std::greater{}, &std::pair<std::string, uint64_t>::second);
  calls.resize(std::min(limit, calls.size()));
  return calls;
}

void Recorder::start_call(Task& task, const Syscall& entry, const SyscallArguments& arguments,
                          bool waits) {
  Call call;
  call.arguments = call.actual = arguments;
  call.before = task.context.registers;
  call.entry = &entry;
  auto& memory = task.memory();
  // Regular files do not wait for anybody: their calls keep the token, and need no scratch.
  const bool alone = tasks_.size() == 1;
  const bool blocking = may_block(entry, arguments, memory) &&
                        (alone || !transfers_data(entry) ||
                         !is_regular_file(task.process->pid, static_cast<int>(arguments[0])));
  if (const auto mask = temporary_mask(entry, arguments, memory)) {
    task.saved_mask = task.signals().mask(task.id);
    task.signals().set_mask(task.id, *mask);
  }
  if (blocking && !alone) redirect(task, call);
  if (entry.number == SYS_mmap && arguments[0] == 0 && task.host().random_addresses())
    call.actual[0] = address_for_mapping(read_maps(task.process->pid), arguments[1]);
  let_kernel_write(task, call);
  // MADV_FREE leaves it to the kernel when pages are lost: at once is one of its choices.
  if (entry.number == SYS_madvise && arguments[2] == MADV_FREE) call.actual[2] = MADV_DONTNEED;
  call.inputs = inputs(entry, call.actual, memory);
  call.texts = texts(entry, arguments, memory);
  task.call = call;
  task.state = State::in_kernel;
  task.cpu->start_syscall(task.context, entry.number, call.actual);
  // A sleep that is shorter than a stop would keep the token from those who have something to do.
  const bool looks = blocking && !waits && !(only_sleeps(entry) && !ready_.empty());
  for (int i = 0; looks && i < kQuickPolls; ++i) {
    if (const auto status = task.cpu->thread().poll()) {
      if (call_stopped(task, *status)) break;
    }
  }
  while (!blocking && task.state == State::in_kernel && !task.process->stopped)
    call_stopped(task, task.cpu->thread().wait());
  if (task.state == State::ready) {
    if (task.call) write_call(task);
    deliver_pending(task);
  } else if (task.state == State::in_kernel && tasks_.size() > 1) {
    // What the task did up to this call comes before what others do while it waits in it.
    append(task, event::Switch{ready_.empty() ? 0 : ready_.front()}, &task.call->before);
  }
}

// The kernel may write while another task runs: into the task's scratch, copied with the token.
void Recorder::redirect(Task& task, Call& call) {
  auto& memory = task.memory();
  const auto wanted = buffers(*call.entry, call.arguments, memory);
  if (wanted.empty()) return;
  const auto area = scratch(task, Redirection::room(wanted));
  if (!area) return;
  call.redirection = Redirection::make(wanted, call.arguments, *area, memory);
  if (call.redirection) call.actual = call.redirection->arguments();
}

// The kernel finds the protections that the guest gave to what the call is about.
void Recorder::let_kernel_write(Task& task, const Call& call) {
  auto& memory = task.memory();
  if (memory.watched().empty()) return;
  if (call.entry->number == SYS_mremap)
    task.cpu->let_write(call.actual[0], page_up(call.actual[1]));
  for (const auto& buffer : buffers(*call.entry, call.actual, memory))
    if (buffer.written) task.cpu->let_write(buffer.address, buffer.size);
}

// Memory of the task's own of that size; nothing where it would be too much.
std::optional<uint64_t> Recorder::scratch(Task& task, uint64_t size) {
  if (size <= layout::kScratchPerTask)
    return layout::kScratch.start + task.slot * layout::kScratchPerTask;
  if (size > layout::kLargeScratchPerTask) return std::nullopt;
  const uint64_t start = layout::kLargeScratch.start + task.slot * layout::kLargeScratchPerTask;
  uint64_t& mapped = task.process->space->large_scratch[task.slot];
  if (size <= mapped) return start;
  size = std::bit_ceil(size);
  const uint64_t flags =
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (mapped == 0 ? MAP_FIXED_NOREPLACE : MAP_FIXED);
  const int64_t got = task.host().remote_syscall(
      task.thread(), SYS_mmap, {start, size, PROT_READ | PROT_WRITE, flags, ~uint64_t{0}, 0});
  if (static_cast<uint64_t>(got) != start) return std::nullopt;
  mapped = size;
  return start;
}

// What the kernel wrote, at the guest's addresses; copied there if it is elsewhere.
std::vector<MemoryEffect> Recorder::effects_of(Task& task, Call& call) {
  auto& memory = task.memory();
  auto written =
      contents(effects(*call.entry, call.actual, call.result, memory, call.inputs), memory);
  if (call.redirection) {
    for (auto& effect : written) {
      effect.address = call.redirection->original(effect.address);
      if (memory.write_as_guest(effect.address, effect.bytes)) continue;
      call.result = -EFAULT;
      effect.bytes.clear();
    }
    std::erase_if(written, [](const MemoryEffect& effect) { return effect.bytes.empty(); });
  }
  return written;
}

bool Recorder::call_stopped(Task& task, int status) {
  ++stops_;
  auto& thread = task.cpu->thread();
  if (WIFEXITED(status) || WIFSIGNALED(status)) {
    if (thread.tid() == task.process->pid) process_gone(task, status);
    return false;
  }
  if (task.state == State::stopped) return woken(task, status);
  if (is_group_stop(status)) {
    task.process->stopped = true;
    if (task.call) task.call->stopped = true;
    thread.listen();
    return false;
  }
  if (stop_event(status) != 0) {
    if (stop_event(status) == PTRACE_EVENT_STOP) task.process->stopped = false;
    thread.resume();
    return false;
  }
  auto regs = thread.registers();
  if (WSTOPSIG(status) == SIGTRAP && regs.rip == HostProcess::kAfterSyscall + 1) {
    task.state = State::ready;
    if (!task.call) return true;  // vfork: the child has gone its own way
    const bool interrupted = task.call->interrupted;
    if (!interrupted) task.call->result = static_cast<int64_t>(regs.rax);
    return true;
  }
  // A signal: before the call, in the middle of it, or just after it.
  const auto info = thread.signal_info();
  const uint64_t mask =
      task.saved_mask && !in_call(regs) ? *task.saved_mask : task.signals().mask(task.id);
  const bool ends_calls = task.signals().interrupts(info.si_signo, mask);
  if (task.signals().disposition(info.si_signo) == SignalState::Disposition::stop) {
    thread.resume(info.si_signo);
    return false;
  }
  if (task.signals().disposition(info.si_signo) != SignalState::Disposition::ignore)
    post(task, info);
  if (!task.call) {
    thread.resume();  // the parent of a vfork
  } else if (!in_call(regs) && regs.rip == HostProcess::kSyscallInstruction) {
    if (ends_calls) {
      // Not begun: it is made after the handler. The kernel would wait with the signal gone.
      task.call.reset();
      restore_mask(task);
      task.state = State::ready;
      return true;
    }
    thread.resume();
  } else {
    interrupt(task, info.si_signo, ends_calls, regs);
    thread.resume();
  }
  return false;
}

// A signal came in the middle of the task's call, which is at its return to the program.
void Recorder::interrupt(Task& task, int signal, bool ends_calls, user_regs_struct& regs) {
  const auto code = static_cast<int64_t>(regs.rax);
  if (!in_call(regs)) return;
  if (!ends_calls) {
    // The kernel makes the call again by itself where it can. Where it cannot, the program would
    // see EINTR for a signal that it ignores, which only a traced program is told of; unless it was
    // stopped meanwhile.
    if (code != -EINTR || task.call->stopped) return;
    regs.rax = regs.orig_rax;
    regs.rip = HostProcess::kSyscallInstruction;
    task.cpu->thread().set_registers(regs);
    return;
  }
  if (code != kRestartSys && code != kRestartNoIntr && code != kRestartNoHand &&
      code != kRestartBlock)
    return;
  const bool restarts = task.signals().action(signal).flags & SA_RESTART;
  task.call->interrupted = code == kRestartNoIntr || (code == kRestartSys && restarts);
  if (task.call->interrupted) task.call->result = kRestartSys;
  regs.orig_rax = ~0ull;
  regs.rax = static_cast<uint64_t>(-EINTR);
  regs.rip = HostProcess::kAfterSyscall;
  task.cpu->thread().set_registers(regs);
}

// The completed call becomes an event, and its effects the guest's; with the token.
void Recorder::write_call(Task& task) {
  Call call = *task.call;
  task.call.reset();
  event::Syscall e;
  e.number = call.entry->number;
  e.arguments = call.arguments;
  e.interrupted = call.interrupted;
  e.texts = call.texts;
  std::string tainted;
  if (!call.interrupted) {
    e.effects = effects_of(task, call);
    tainted = follow_file(task, call, e) + follow_mapping(task, call, e) +
              unknown_effects(*call.entry, call.actual, call.result, task.memory());
    // A write to a mapped file may change what it takes.
    if (e.effects.empty() && !e.file)
      e.given = given(e.number, e.arguments, call.result, task.memory());
  }
  e.result = call.result;
  if (!call.interrupted) follow_descriptors(task, e);
  constexpr uint64_t kAsked = 0xffffffff;  // personality(2): changes nothing
  if (e.number == SYS_personality && e.arguments[0] != kAsked &&
      (e.arguments[0] & READ_IMPLIES_EXEC))
    task.host().serve_no_mappings();
  if (e.number == SYS_set_robust_list && e.result == 0) task.robust_list = call.arguments[0];
  if (e.number == SYS_set_tid_address) task.clear_tid = call.arguments[0];
  append(task, std::move(e), &call.before);
  if (call.interrupted)
    task.context.restart_call();
  else
    task.context.complete_call(call.result);
  // A call that a signal ended leaves its mask in place for the handler.
  if (!call.interrupted && call.result != -EINTR) restore_mask(task);
  taint(task, tainted);
}

// Translations of changed code go. Where a fork shares them, this process gets its own first.
void Recorder::code_changed(Task& task, uint64_t start, uint64_t size, bool executable) {
  Space& space = *task.process->space;
  const bool held = space.cache->holds(start, size);
  if (held || executable) task.cpu->own_code();
  if (held) space.cache->invalidate(start, size);
}

// The program mapped, unmapped or protected this.
void Recorder::mapping_changed(Task& task, uint64_t start, uint64_t size, bool executable) {
  // What was read of code may be known without a translation of it.
  if (task.memory().mappings_changed(start, size)) task.process->space->cache->invalidate(start, 0);
  for (const uint64_t page : task.host().mapping_changed(start, size))
    code_changed(task, page, kPage, false);
  code_changed(task, start, size, executable);
}

}  // namespace heddle
