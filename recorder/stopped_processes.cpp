// Job control: a process that a signal stops is stopped for real, so that its parent is told, and
// waits for it, as natively. The kernel makes the stop (ptrace(2), "Group-stop"); the threads are
// left listening for the signal that continues them. Nothing of it is in the trace but the switch
// to other tasks: what others see of it are their own calls and signals.
#include <spdlog/spdlog.h>
#include <sys/ptrace.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "recorder/recorder.h"

namespace heddle {
namespace {

bool is_signal_pending(pid_t tid, int signal) {
  std::ifstream status("/proc/" + std::to_string(tid) + "/status");
  std::string name;
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("SigPnd:") && !line.starts_with("ShdPnd:")) continue;
    if (std::stoull(line.substr(7), nullptr, 16) >> (signal - 1) & 1) return true;
  }
  return false;
}

}  // namespace

// Has SIGCONT been sent since the stop signal was? It takes back one that has had no effect yet.
bool Recorder::is_continued(Task& task) {
  const auto posted = [&](TaskId id) {
    for (const auto& info : task.signals().pending(id))
      if (info.number == SIGCONT) return true;
    return false;
  };
  for (Task* member : tasks_of(*task.process)) {
    if (member->state != State::in_kernel) continue;
    const auto status = member->thread().poll();
    if (status) take_report(*member, *status);
  }
  if (ended_ || task.state != State::ready) return true;  // it was killed
  for (Task* member : tasks_of(*task.process))
    if (posted(member->id) || is_signal_pending(member->thread().tid(), SIGCONT)) return true;
  return posted(0);
}

// Lets the stopped thread go to an int3 at once, with `signal` if that is not 0, and waits for what
// comes first: that int3, or the thread stops with its process. True where it is the latter.
bool Recorder::halt(Task& task, int signal) {
  auto& thread = task.thread();
  auto regs = GuestCpu::to_host(task.context.registers, thread.registers());
  regs.rip = HostProcess::kAfterSyscall;
  thread.set_registers(regs);
  thread.resume(signal);
  while (true) {
    const int status = thread.wait();
    if (!WIFSTOPPED(status)) throw TraceeGone("the process was killed");
    if (is_group_stop(status)) return true;
    if (stop_event(status) == PTRACE_EVENT_STOP) return false;
    if (stop_event(status) == 0) {
      if (is_signal_stop(status, SIGTRAP) &&
          thread.registers().rip == HostProcess::kAfterSyscall + 1)
        return false;
      post(task, thread.signal_info());
    }
    thread.resume();
  }
}

// A ready task whose process is stopped joins it, if that is still so.
void Recorder::park(Task& task) {
  task.thread().interrupt();
  if (!halt(task, 0)) {
    task.process->stopped = false;
    return;
  }
  if (tasks_.size() > 1) append(task, event::Switch{ready_.empty() ? 0 : ready_.front()});
  task.state = State::stopped;
  task.thread().listen();
}

// The task takes a signal whose default is to stop the process. The kernel decides whether it does:
// no process is stopped whose group is orphaned, nor one that was sent SIGCONT meanwhile.
void Recorder::stop(Task& task, int signal) {
  auto& stopped = task.process->stopped;
  // The kernel takes a signal from us only where it was about to deliver one.
  if (halt(task, 0)) {
    stopped = true;
  } else if (!is_continued(task) && !stopped && halt(task, signal)) {
    spdlog::debug("task {} stops its process by signal {}", task.id, signal);
    stopped = true;
  }
}

// A stopped task's thread reports something: true where it goes on.
bool Recorder::woken(Task& task, int status) {
  if (is_group_stop(status)) {
    task.thread().listen();
    return false;
  }
  if (stop_event(status) != PTRACE_EVENT_STOP) {
    task.thread().resume();  // on its way to its end
    return false;
  }
  task.process->stopped = false;
  task.state = State::ready;
  return true;
}

}  // namespace heddle
