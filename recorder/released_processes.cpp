// Letting go of processes: they run on natively, with the registers, masks, dispositions and
// pending signals that they would have had without heddle.
#include <fnmatch.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>

#include "recorder/recorder.h"

namespace heddle {
namespace {

constexpr int kRestartSys = -512, kRestartNoHand = -514, kRestartBlock = -516;  // linux/errno.h

// Their real dispositions are the machine's while the program is recorded; all others are the
// program's at any time (Recorder::virtual_call).
constexpr int kSynchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

constexpr uint64_t synchronous_bits() {
  uint64_t bits = 0;
  for (const int signal : kSynchronous) bits |= uint64_t{1} << (signal - 1);
  return bits;
}

bool is_restart(int64_t code) {
  return code <= kRestartSys && code >= kRestartBlock;
}

std::span<const uint8_t> bytes_of(const auto& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

}  // namespace

// Why recording is to end now, if it is.
std::optional<std::string> Recorder::reason_to_stop() const {
  if (trace_.failure()) return trace_.failure();
  if (asked_to_stop_) return "it was asked to stop";
  if (options_.max_bytes != 0 && trace_.bytes() >= options_.max_bytes)
    return "the trace has reached its largest size";
  if (options_.max_ns != 0 && now_ns() >= options_.max_ns)
    return "the recording has reached its longest time";
  if (!options_.wait && root_ended()) return "the first process has ended";
  return std::nullopt;
}

bool Recorder::root_ended() const {
  for (const auto& [id, task] : tasks_)
    if (task->process->pid == root_) return false;
  return !root_released_;
}

bool Recorder::needs_waking() const {
  if (to_pass_on_ != 0) return true;
  if (let_go_) return false;
  return asked_to_stop_ || (options_.max_ns != 0 && now_ns() >= options_.max_ns);
}

// Everybody goes on natively. False: not yet; the parent of a vfork can be let go only when its
// child has gone its own way.
bool Recorder::release_all(const std::string& reason) {
  if (trace_.failure() && options_.on_failure == RecordOptions::OnFailure::stop)
    throw std::runtime_error(*trace_.failure());
  for (const auto& [id, task] : tasks_)
    if (task->state == State::in_kernel && !task->call) return false;
  std::vector<Task*> waiting;
  for (const auto& [id, task] : tasks_)
    if (task->state == State::in_kernel) waiting.push_back(task.get());
  for (Task* task : waiting)
    if (task->state == State::in_kernel) recall(*task);
  std::set<std::shared_ptr<Process>> processes;
  for (const auto& [id, task] : tasks_) {
    // It stops again, where its process still is, when it is detached.
    if (task->state == State::stopped) {
      task->thread().interrupt();
      task->thread().wait();
      task->state = State::ready;
    }
    if (task->call) write_call(*task);
    processes.insert(task->process);
  }
  for (const auto& process : processes) {
    if (process->pid == root_) root_released_ = true;
    release(*process, reason);
  }
  released_ = reason;
  let_go_ = true;
  return true;
}

// Takes a task out of the call that it waits in: either the call is complete then, and is an event
// to be written, or it is made again natively.
void Recorder::recall(Task& task) {
  auto& thread = task.thread();
  thread.interrupt();
  while (task.state == State::in_kernel) {
    const int status = thread.wait();
    if (stop_event(status) != PTRACE_EVENT_STOP) {
      call_stopped(task, status);
      continue;
    }
    const auto regs = thread.registers();
    const auto result = static_cast<int64_t>(regs.rax);
    const bool begun = regs.rip != HostProcess::kSyscallInstruction;
    const bool called = regs.orig_rax != ~0ull;
    task.state = State::ready;
    if (begun && !(called && (is_restart(result) || result == -EINTR))) {
      if (!task.call->interrupted) task.call->result = result;
      return;
    }
    // The kernel goes on with it as with any call that a stop interrupts: after -ERESTART_RESTART-
    // BLOCK with what is left of a time-out, unless its buffers are elsewhere.
    const bool redirected = task.call->redirection.has_value();
    if (begun && is_restart(result))
      task.native_restart = redirected && result == kRestartBlock ? kRestartNoHand : result;
    task.context.registers = task.call->before;
    task.call.reset();
    restore_mask(task);
  }
}

void Recorder::release(Process& process, const std::string& reason) {
  const auto members = tasks_of(process);
  append(*members.front(), event::Released{reason});
  try {
    release_process(process, members);
  } catch (const TraceeGone&) {
    // Killed meanwhile.
  }
  for (auto* member : members) bury(*member);
}

void Recorder::release_process(Process& process, const std::vector<Task*>& members) {
  Task& first = *members.front();
  auto& host = process.space->process;
  const auto call = [&](Task& by, uint64_t number, std::array<uint64_t, 6> arguments) {
    return host.remote_syscall(by.thread(), number, arguments);
  };
  for (Task* task : members) {
    // What is about to be pending again stays pending until the end.
    task->thread().set_signal_mask(~synchronous_bits());
    task->thread().set_registers(
        GuestCpu::to_host(task->context.registers, task->thread().registers()));
  }
  for (const int signal : kSynchronous) {
    const auto& action = process.signals.action(signal);
    const std::array<uint64_t, 4> wanted{action.handler, action.flags, action.restorer,
                                         action.mask};  // struct kernel_sigaction
    call(first, SYS_rt_sigaction,
         {static_cast<uint64_t>(signal), host.stage(bytes_of(wanted)), 0, 8});
  }
  const auto pid = static_cast<uint64_t>(call(first, SYS_getpid, {}));
  const auto persona = static_cast<uint64_t>(personality(0xffffffff));
  for (Task* task : members) {
    call(*task, SYS_personality, {persona});
    const auto& stack = process.signals.alternate_stack(task->id);
    if (stack.size != 0) {
      const struct {
        uint64_t sp;
        int32_t flags, padding;
        uint64_t size;
      } wanted{stack.sp, stack.disarms() ? stack.flags : 0, 0, stack.size};
      call(*task, SYS_sigaltstack, {host.stage(bytes_of(wanted)), 0});
    }
    const auto tid = static_cast<uint64_t>(call(*task, SYS_gettid, {}));
    for (const auto& info : process.signals.pending(task->id))
      call(*task, SYS_rt_tgsigqueueinfo,
           {pid, tid, static_cast<uint64_t>(info.number), host.stage(info.siginfo)});
  }
  for (const auto& info : process.signals.pending(0))
    call(first, SYS_rt_sigqueueinfo,
         {pid, static_cast<uint64_t>(info.number), host.stage(info.siginfo)});

  // The machine's memory, but for the page with the instruction that makes these calls.
  const auto unmap = [&](uint64_t start, uint64_t end) {
    call(first, SYS_munmap, {start, end - start});
  };
  for (const auto& arena : layout::kArenas) unmap(arena.start, arena.end());
  for (const auto& [slot, size] : process.space->large_scratch)
    unmap(layout::kLargeScratch.start + slot * layout::kLargeScratchPerTask,
          layout::kLargeScratch.start + slot * layout::kLargeScratchPerTask + size);
  unmap(layout::kRuntimeText.end(), layout::kFixed.end());
  unmap(layout::kFixed.start, layout::kRuntimeText.start);

  for (Task* task : members) {
    auto& thread = task->thread();
    auto regs = GuestCpu::to_host(task->context.registers, thread.registers());
    regs.gs_base = 0;
    if (task->native_restart != 0) {
      regs.orig_rax = regs.rax;
      regs.rax = static_cast<uint64_t>(task->native_restart);
      regs.rip += 2;
    }
    thread.set_registers(regs);
    thread.set_signal_mask(process.signals.mask(task->id));
  }
  for (Task* task : members) task->thread().detach();
}

// Is a process to be recorded that has just executed this program?
bool Recorder::follows(const Process& process, const std::string& program) const {
  using Follow = RecordOptions::Follow;
  if (options_.follow == Follow::children) return true;
  if (options_.follow == Follow::none) return process.pid == root_;
  std::error_code ignored;
  const auto link = "/proc/" + std::to_string(process.pid) + "/exe";
  // Of a script that is its interpreter.
  const auto executed = std::filesystem::read_symlink(link, ignored).string();
  for (const auto& pattern : options_.followed)
    for (const auto& path : {program, executed}) {
      const bool whole = pattern.find('/') != pattern.npos;
      const auto text = whole ? path : path.substr(path.rfind('/') + 1);
      if (fnmatch(pattern.c_str(), text.c_str(), 0) == 0) return true;
    }
  return false;
}

// Its process has executed a program that is not to be recorded.
void Recorder::released_at_execve(Task& task, const std::string& program) {
  Process& process = *task.process;
  process.space = new_space(HostProcess::after_exec(HostThread(process.pid)), false);
  auto& host = process.space->process;
  task.cpu = std::make_unique<GuestCpu>(host, process.space->cache, host.thread(), task.slot);
  task.context.registers = task.cpu->to_guest(host.thread().registers());
  if (process.pid == root_) root_released_ = true;
  release(process, program + " is not followed");
}

// The first process, after it was let go.
int Recorder::wait_natively() {
  int status = 0;
  while (waitpid(root_, &status, 0) < 0) {
    if (errno != EINTR) throw TraceeGone("the program is gone");
    pass_on_signals();
  }
  endings_.push_back(status);
  return status;
}

// What was sent to the recorder and is meant for the program.
void Recorder::pass_on_signals() {
  if (const int signal = to_pass_on_.exchange(0)) kill(root_, signal);
}

}  // namespace heddle
