#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "recorder/descriptors.h"
#include "recorder/recorder.h"

namespace heddle {
namespace {

constexpr int kRestartSys = -512, kRestartNoIntr = -513, kRestartNoHand = -514,
              kRestartBlock = -516;  // include/linux/errno.h
constexpr int kQuickPolls = 200;     // looks at a call that may block before the token goes on

}  // namespace

void Recorder::return_from(Task& task, int64_t result) {
  auto& r = task.context.registers;
  r[Register::rax] = static_cast<uint64_t>(result);
  r[Register::rip] += 2;
  r[Register::rcx] = r[Register::rip];
  r[Register::r11] = r[Register::rflags];
}

void Recorder::syscall(Task& task) {
  const auto& r = task.context.registers;
  const uint64_t number = r[Register::rax];
  const SyscallArguments arguments{r[Register::rdi], r[Register::rsi], r[Register::rdx],
                                   r[Register::r10], r[Register::r8],  r[Register::r9]};
  const auto* entry = find(number);
  switch (entry ? entry->replay : Replay::refused) {
    case Replay::unsupported:
      throw std::runtime_error(std::string("the program made system call ") + entry->name +
                               ", which heddle does not record");
    case Replay::refused: {
      event::Syscall call{static_cast<uint32_t>(number), arguments, -ENOSYS, {}, {}, 0, false};
      append(task, call);
      return_from(task, -ENOSYS);
      return;
    }
    case Replay::virtualised:
      virtual_call(task, *entry, arguments);
      return;
    default:
      start_call(task, *entry, arguments);
  }
}

void Recorder::start_call(Task& task, const Syscall& entry, const SyscallArguments& arguments) {
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
  if (entry.number == SYS_rt_sigsuspend) {
    if (const auto mask = memory.load<uint64_t>(arguments[0])) {
      task.saved_mask = task.signals().mask(task.id);
      task.signals().set_mask(task.id, *mask);
    }
  }
  if (blocking && !alone) redirect(task, call);
  // MADV_FREE leaves it to the kernel when pages are lost: at once is one of its choices.
  if (entry.number == SYS_madvise && arguments[2] == MADV_FREE) call.actual[2] = MADV_DONTNEED;
  call.inputs = inputs(entry, call.actual, memory);
  task.call = call;
  task.state = State::in_kernel;
  task.cpu->start_syscall(task.context, entry.number, call.actual);
  for (int i = 0; blocking && i < kQuickPolls; ++i) {
    if (const auto status = task.cpu->thread().poll()) {
      if (call_stopped(task, *status)) break;
    }
  }
  while (!blocking && task.state == State::in_kernel) call_stopped(task, task.cpu->thread().wait());
  if (task.state == State::ready) {
    write_call(task);
    deliver_pending(task);
  } else if (tasks_.size() > 1) {
    // What the task did up to this call comes before what others do while it waits in it.
    append(task, event::Switch{ready_.empty() ? 0 : ready_.front()}, &task.call->before);
  }
}

// The kernel may write while another task runs: into the task's scratch, copied with the token.
void Recorder::redirect(Task& task, Call& call) {
  auto& memory = task.memory();
  const auto wanted = buffers(*call.entry, call.arguments, memory);
  if (wanted.empty() || Redirection::room(wanted) > layout::kScratchPerTask) return;
  const uint64_t scratch = layout::kScratch.start + task.slot * layout::kScratchPerTask;
  call.redirection = Redirection::make(wanted, call.arguments, scratch, memory);
  if (call.redirection) call.actual = call.redirection->arguments();
}

// What the kernel wrote, at the guest's addresses; copied there if it is elsewhere.
std::vector<MemoryEffect> Recorder::effects_of(Task& task, const Call& call) {
  auto& memory = task.memory();
  auto written =
      contents(effects(*call.entry, call.actual, call.result, memory, call.inputs), memory);
  if (call.redirection) {
    for (auto& effect : written) {
      effect.address = call.redirection->original(effect.address);
      memory.write(effect.address, effect.bytes);
    }
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
  if (stop_event(status) != 0) {
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
  // A signal, in the middle of the call or just after it.
  const auto info = thread.signal_info();
  const auto disposition = task.signals().disposition(info.si_signo);
  const bool matters = disposition != SignalState::Disposition::ignore &&
                       disposition != SignalState::Disposition::resume;
  if (matters) post(task, info);
  const auto code = static_cast<int64_t>(regs.rax);
  const bool restarts = regs.orig_rax != ~0ull && (code == kRestartSys || code == kRestartNoIntr ||
                                                   code == kRestartNoHand || code == kRestartBlock);
  if (matters && restarts && task.call) {
    const auto& action = task.signals().action(info.si_signo);
    const bool again =
        code == kRestartNoIntr || (code == kRestartSys && (action.flags & SA_RESTART));
    task.call->interrupted = again;
    if (again) task.call->result = kRestartSys;
    regs.orig_rax = ~0ull;
    regs.rax = static_cast<uint64_t>(-EINTR);
    regs.rip = HostProcess::kAfterSyscall;
    thread.set_registers(regs);
  }
  thread.resume();
  return false;
}

// The completed call becomes an event, and its effects the guest's; with the token.
void Recorder::write_call(Task& task) {
  const Call call = *task.call;
  task.call.reset();
  event::Syscall e;
  e.number = call.entry->number;
  e.arguments = call.arguments;
  e.result = call.result;
  e.interrupted = call.interrupted;
  std::string tainted;
  if (!call.interrupted) {
    e.effects = effects_of(task, call);
    tainted = follow_file(task, call, e) + follow_mapping(task, call, e) +
              unknown_effects(*call.entry, call.actual, call.result, task.memory());
  }
  if (e.number == SYS_set_tid_address) task.clear_tid = call.arguments[0];
  append(task, std::move(e), &call.before);
  if (!call.interrupted) return_from(task, call.result);
  taint(task, tainted);
}

// Translations of changed code go. Where a fork shares them, this process gets its own first.
void Recorder::code_changed(Task& task, uint64_t start, uint64_t size, bool executable) {
  Space& space = *task.process->space;
  const bool held = space.cache->holds(start, size);
  if ((held || executable) && space.cache.use_count() > 1) {
    space.cache =
        space.cache->copy(space.process.make_code_private(task.thread(), space.cache->used()));
    for (auto& [id, other] : tasks_)
      if (other->process->space.get() == &space) other->cpu->use(*space.cache);
  }
  if (held) space.cache->invalidate(start, size);
}

void Recorder::virtual_call(Task& task, const Syscall& entry, const SyscallArguments& a) {
  auto& memory = task.memory();
  event::Syscall e{entry.number, a, 0, {}, {}, 0, false};
  const Registers before = task.context.registers;
  const auto finish = [&] {
    for (const auto& effect : e.effects) memory.write(effect.address, effect.bytes);
    append(task, e, &before);
    return_from(task, e.result);
  };
  switch (entry.number) {
    case SYS_rt_sigaction: {
      e.result = task.signals().rt_sigaction(a, memory, &e.effects);
      const auto signal = static_cast<int>(a[0]);
      const bool synchronous = signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE ||
                               signal == SIGILL || signal == SIGTRAP;
      // The kernel knows the guest's disposition too, so that it ignores and interrupts alike.
      if (e.result == 0 && a[1] != 0 && !synchronous)
        task.host().remote_syscall(task.cpu->thread(), SYS_rt_sigaction, {a[0], a[1], 0, 8});
      finish();
      return;
    }
    case SYS_rt_sigprocmask:
      e.result = task.signals().rt_sigprocmask(task.id, a, memory, &e.effects);
      finish();
      mirror_mask(task);
      deliver_pending(task);
      return;
    case SYS_sigaltstack:
      e.result = task.signals().sigaltstack(task.id, a, before[Register::rsp], memory, &e.effects);
      finish();
      return;
    case SYS_rt_sigreturn: {
      const auto restored = pop_signal_frame(memory, before);
      if (!restored) throw std::runtime_error("rt_sigreturn without a readable frame");
      append(task, e, &before);
      task.context.registers = restored->registers;
      task.context.registers[Register::fs_base] = before[Register::fs_base];
      auto& thread = task.cpu->thread();
      thread.set_extended_state(with_canonical(thread.extended_state(), restored->state));
      task.signals().set_mask(task.id, restored->mask);
      task.signals().alternate_stack(task.id) = restored->altstack;
      mirror_mask(task);
      deliver_pending(task);
      return;
    }
    case SYS_arch_prctl:
      if (a[0] == 0x1002) {  // ARCH_SET_FS
        finish();
        task.context.registers[Register::fs_base] = a[1];
      } else if (a[0] == 0x1003) {  // ARCH_GET_FS
        const uint64_t base = before[Register::fs_base];
        const auto* raw = reinterpret_cast<const uint8_t*>(&base);
        e.effects.push_back({a[1], {raw, raw + sizeof base}});
        finish();
      } else {
        e.result = -EINVAL;
        finish();
      }
      return;
    case SYS_clone:
    case SYS_clone3:
    case SYS_fork:
    case SYS_vfork:
      clone(task, a);
      return;
    case SYS_execve:
    case SYS_execveat:
      execve(task, entry, a);
      return;
    case SYS_exit:
      exit_task(task);
      return;
    case SYS_exit_group:
      end_process(task, static_cast<int>((a[0] & 0xff) << 8), 0);
      return;
    default:
      throw std::logic_error("a virtualised call without code");
  }
}

}  // namespace heddle
