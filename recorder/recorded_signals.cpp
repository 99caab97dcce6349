#include <spdlog/spdlog.h>
#include <sys/syscall.h>

#include <cstring>

#include "recorder/recorder.h"
#include "trace_format/logged_calls.h"

namespace heddle {
namespace {

constexpr uint64_t bit(int signal) {
  return uint64_t{1} << (signal - 1);
}
// Never blocked for real: a blocked synchronous signal would kill the program.
constexpr uint64_t kSynchronous =
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP);

SignalInfo from(const siginfo_t& info) {
  SignalInfo out;
  out.number = info.si_signo;
  std::memcpy(out.siginfo.data(), &info, out.siginfo.size());
  return out;
}

}  // namespace

// A timer's signals may come faster than the thread gets on. From the second on they stay with the
// kernel until what is here is delivered. The runtime may have changed the mask since its last
// stop.
void Recorder::post(Task& task, const siginfo_t& info) {
  task.signals().post(task.id, from(info));
  const uint64_t posted = bit(info.si_signo);
  if ((task.posted & posted) && !task.saved_mask) {
    task.held |= posted;
    task.thread().set_signal_mask(task.thread().signal_mask() | (posted & ~kSynchronous));
  }
  task.posted |= posted;
}

void Recorder::mirror_mask(Task& task) {
  const uint64_t mask = task.signals().mask(task.id) | task.held;
  task.cpu->thread().set_signal_mask(mask & ~kSynchronous);
}

// The calls on signals that the runtime made in the run that has ended.
void Recorder::follow_served_signals() {
  for (auto entries = log_->changes(); !entries.empty();) {
    const auto size = entry_size(entries);
    if (!size) throw std::logic_error("the log of system calls is damaged");
    heddle_log_entry entry;
    std::memcpy(&entry, entries.data(), sizeof entry);
    if (const auto task = tasks_.find(entry.task); task != tasks_.end())
      task->second->signals().follow(entries.first(*size));
    entries = entries.subspan(*size);
  }
}

// Nothing where a signal is held that such a call could let in.
std::optional<TaskSignals> Recorder::signals_to_serve(const Task& task) {
  const auto& signals = task.process->signals;
  const bool holds = task.held != 0 || task.saved_mask || !signals.pending(task.id).empty() ||
                     !signals.pending(0).empty();
  if (holds) return std::nullopt;
  return TaskSignals{signals.mask(task.id), signals.alternate_stack(task.id)};
}

// The next signal to be delivered to the task.
std::optional<SignalInfo> Recorder::take_signal(Task& task) {
  // The kernel takes a thread's own before the process's (signal(7)); who it was for is not told.
  auto info = task.signals().take_first(task.id);
  if (!info) return info;
  const uint64_t taken = bit(info->number), held = task.held & taken;
  task.posted &= ~taken;
  task.held &= ~held;
  if (held) mirror_mask(task);
  return info;
}

// The mask that was in place before a call that came with its own.
void Recorder::restore_mask(Task& task) {
  if (!task.saved_mask) return;
  task.signals().set_mask(task.id, *task.saved_mask);
  task.saved_mask.reset();
}

// The kernel knows the program's dispositions too, so that it ignores and interrupts alike; but not
// those of signals that the machine needs.
void Recorder::give_action(Task& task, int signal) {
  if (bit(signal) & kSynchronous) return;
  const SignalAction& action = task.signals().action(signal);
  const uint64_t at = task.host().stage({reinterpret_cast<const uint8_t*>(&action), sizeof action});
  task.host().remote_syscall(task.thread(), SYS_rt_sigaction,
                             {static_cast<uint64_t>(signal), at, 0, 8});
}

// The signal's handler is entered; false where it has none that could be.
bool Recorder::handle(Task& task, const SignalInfo& info, bool synchronous) {
  if (task.signals().disposition(info.number) != SignalState::Disposition::handle) return false;
  const Registers before = task.context.registers;
  const auto action = task.signals().action(info.number);
  if (!enter_handler(task.context, task.thread(), task.memory(), task.signals(), info,
                     task.saved_mask))
    return false;
  if (action.flags & SA_RESETHAND) give_action(task, info.number);
  task.saved_mask.reset();
  append(task, event::Signal{info.number, synchronous, false, info.siginfo}, &before);
  mirror_mask(task);
  return true;
}

void Recorder::end_by(Task& task, const SignalInfo& info, bool synchronous) {
  append(task, event::Signal{info.number, synchronous, true, info.siginfo});
  end_process(task, info.number, info.number);
}

void Recorder::deliver_pending(Task& task) {
  while (!ended_ && task.state == State::ready && !task.process->stopped) {
    const auto info = take_signal(task);
    if (!info) break;
    spdlog::debug("task {} takes signal {}", task.id, info->number);
    switch (task.signals().disposition(info->number)) {
      case SignalState::Disposition::ignore:
      case SignalState::Disposition::resume:
        continue;
      case SignalState::Disposition::stop:
        stop(task, info->number);
        continue;
      case SignalState::Disposition::handle:
        if (handle(task, *info, false)) continue;
        // No room for the frame.
        force(task, SIGSEGV);
        continue;
      default:
        end_by(task, *info, false);
        return;
    }
  }
  if (task.state == State::ready && !task.process->stopped) restore_mask(task);
}

// As the kernel's force_sig: a signal that cannot be put off.
void Recorder::force(Task& task, int signal) {
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_KERNEL;
  const bool blocked = task.signals().mask(task.id) & bit(signal);
  if (blocked || !handle(task, from(info), false)) end_by(task, from(info), false);
}

void Recorder::fault(Task& task, const siginfo_t& info) {
  const bool blocked = task.signals().mask(task.id) & bit(info.si_signo);
  if (!blocked && handle(task, from(info), true)) return;
  if (!blocked && info.si_signo != SIGSEGV &&
      task.signals().disposition(info.si_signo) == SignalState::Disposition::handle)
    force(task, SIGSEGV);
  else
    end_by(task, from(info), true);
}

}  // namespace heddle
