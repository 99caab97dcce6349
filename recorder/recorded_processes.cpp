#include <linux/sched.h>
#include <spdlog/spdlog.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "machine/syscalls/robust_list.h"
#include "machine/tracee/cpuid_table.h"
#include "machine/tracee/saved_translations.h"
#include "recorder/exec_snapshot.h"
#include "recorder/recorder.h"

namespace heddle {
namespace {

constexpr const char* kNotFollowed = "its process is not followed";
constexpr size_t kMostStrings = 1 << 20;  // in argv or envp

// The strings that a NULL-terminated array of pointers names; nothing where it is not readable.
std::optional<std::vector<std::string>> strings(const GuestMemory& memory, uint64_t array) {
  std::vector<std::string> list;
  if (array == 0) return list;  // as Linux has it
  for (size_t i = 0; i < kMostStrings; ++i) {
    const auto pointer = memory.load<uint64_t>(array + 8 * i);
    if (!pointer) return std::nullopt;
    if (*pointer == 0) return list;
    auto text = memory.string(*pointer, size_t{1} << 21);
    if (!text) return std::nullopt;
    list.push_back(std::move(*text));
  }
  return std::nullopt;
}

bool is_new_child(int status) {
  const int event = stop_event(status);
  return event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK;
}

bool after_call(const HostThread& thread, int status) {
  return is_signal_stop(status, SIGTRAP) &&
         thread.registers().rip == HostProcess::kAfterSyscall + 1;
}

}  // namespace

TaskId RecordedSpace::take_slot() {
  for (TaskId slot = 1; slot + 1 < layout::kMaxTasks; ++slot)
    if (slots.insert(slot).second) return slot;
  throw std::runtime_error("the program has more than " + std::to_string(layout::kMaxTasks - 2) +
                           " threads at a time");
}

// An address space just after execve, made ready for translated code; or only for calls of ours.
std::shared_ptr<RecordedSpace> Recorder::new_space(HostProcess process, bool recorded) {
  auto space = std::make_shared<Space>();
  space->process = std::move(process);
  space->process.install();
  if (recorded) {
    hide_vdso(space->process);
    place_cpuid_answers(space->process.memory(), cpuid_answers_);
    if (log_)
      space->logs = log_->attach(space->process);
    else
      log_ = std::make_unique<SyscallLog>(space->process, trace_.syscall_log());
  }
  translator::Options translation;
  translation.runtime_syscalls = true;
  translation.fast = true;
  space->cache = std::make_shared<CodeCache>(space->process.shared_code(), translation);
  if (recorded) {
    std::error_code error;
    const auto program = std::filesystem::read_symlink(
        "/proc/" + std::to_string(space->process.pid()) + "/exe", error);
    if (!error)
      space->cache->keep_in(translations_of(options_.translations, program), space->process);
  }
  space->slots = {1};
  return space;
}

std::vector<RecordedTask*> Recorder::tasks_of(const Process& process) {
  std::vector<Task*> found;
  for (auto& [id, task] : tasks_)
    if (task->process.get() == &process) found.push_back(task.get());
  return found;
}

// clone, clone3, fork and vfork: a thread, a process with a copy of the memory, or one that shares
// it.
void Recorder::clone(Task& task, const SyscallArguments& a) {
  auto& memory = task.memory();
  const Registers before = task.context.registers;
  const uint64_t number = before[Register::rax];
  const auto wanted = clone_arguments(number, a, memory);
  event::Syscall e{static_cast<uint32_t>(number), a, -EFAULT, {}, {}, 0, false};
  if (!wanted) {
    append(task, e, &before);
    task.context.complete_call(e.result);
    return;
  }
  const bool thread_of_process = wanted->flags & CLONE_THREAD;
  const bool shares_memory = wanted->flags & CLONE_VM;
  auto& thread = task.thread();
  task.cpu->start_syscall(task.context, number, a);
  pid_t child = 0;
  while (true) {
    const int status = thread.wait();
    if (WIFEXITED(status) || WIFSIGNALED(status)) throw TraceeGone("the process was killed");
    if (is_new_child(status)) child = static_cast<pid_t>(thread.event_message());
    if (after_call(thread, status)) break;
    if (stop_event(status) == 0) post(task, thread.signal_info());
    thread.resume();
    // The parent sleeps in the call until the child has gone its own way.
    if (child != 0 && (wanted->flags & CLONE_VFORK)) break;
  }
  const bool sleeps = child != 0 && (wanted->flags & CLONE_VFORK);
  e.result = sleeps ? child : static_cast<int64_t>(thread.registers().rax);
  if (child == 0) {
    append(task, e, &before);
    task.context.complete_call(e.result);
    return;
  }

  HostThread born(child);
  while (!WIFSTOPPED(born.wait())) {
  }
  auto fresh = std::make_unique<Task>();
  fresh->id = ++last_task_;
  fresh->context.task = fresh->id;
  if (thread_of_process) {
    fresh->process = task.process;
  } else {
    fresh->process = std::make_shared<Process>();
    fresh->process->pid = child;
    fresh->process->signals = task.signals().forked(task.id, fresh->id);
    fresh->process->space = task.process->space;
    if (!shares_memory) {
      auto space = std::make_shared<Space>();
      space->process = HostProcess::adopt(born, task.host());
      space->cache = task.process->space->cache;
      space->files = task.process->space->files;
      space->large_scratch = task.process->space->large_scratch;
      space->logs = task.process->space->logs;
      space->served_writes = task.process->space->served_writes;
      fresh->process->space = std::move(space);
    }
  }
  if (!thread_of_process)
    share_descriptors(*task.process, *fresh->process, *wanted);
  else if (!(wanted->flags & CLONE_FILES))
    task.process->own_descriptors = false;
  Space& space = *fresh->process->space;
  fresh->slot = space.take_slot();
  fresh->cpu = std::make_unique<GuestCpu>(space.process, space.cache, born, fresh->slot);
  fresh->context = task.context.cloned(fresh->id, *wanted);
  if (wanted->flags & CLONE_CHILD_CLEARTID) fresh->clear_tid = wanted->child_tid;

  const auto written = [&](uint64_t flag, uint64_t address) {
    if (!(wanted->flags & flag)) return;
    MemoryEffect effect{address, std::vector<uint8_t>(4)};
    memory.read(address, effect.bytes);
    e.effects.push_back(std::move(effect));
  };
  // What is written to a child's own memory follows from the call: see Replayer.
  written(CLONE_PARENT_SETTID, wanted->parent_tid);
  if (wanted->flags & CLONE_PIDFD) written(CLONE_PIDFD, wanted->pidfd);
  if (shares_memory) written(CLONE_CHILD_SETTID, wanted->child_tid);
  e.child = fresh->id;
  e.makes_process = !thread_of_process;
  spdlog::debug("task {} makes task {}, a {}", task.id, fresh->id,
                thread_of_process ? "thread"
                : shares_memory   ? "process by vfork"
                                  : "process");
  append(task, e, &before);
  task.context.complete_call(e.result);
  if (thread_of_process) task.signals().add_task(fresh->id, task.id);
  by_tid_[child] = fresh->id;
  ready_.push_back(fresh->id);
  const auto born_process = fresh->process;
  tasks_[fresh->id] = std::move(fresh);
  if (!shares_memory && options_.follow == RecordOptions::Follow::none)
    release(*born_process, kNotFollowed);
  if (sleeps) {
    task.state = State::in_kernel;
    append(task, event::Switch{last_task_});
  }
}

void Recorder::execve(Task& task, const Syscall& entry, const SyscallArguments& a) {
  const bool at = entry.number == SYS_execveat;
  Program program;
  program.path = task.memory().string(a[at ? 1 : 0]).value_or("");
  program.arguments = strings(task.memory(), a[at ? 2 : 1]).value_or(std::vector<std::string>{});
  program.environment = strings(task.memory(), a[at ? 3 : 2]).value_or(std::vector<std::string>{});
  const Registers before = task.context.registers;
  const auto process = task.process;
  event::Syscall e{entry.number, a, 0, {}, {}, 0, false};
  const pid_t tid = task.thread().tid();
  task.cpu->start_syscall(task.context, entry.number, a);

  // Other threads of the process die on the way, and a caller that is not the first one takes the
  // first one's place: whoever of the process reports next is listened to.
  std::vector<pid_t> members;
  for (const auto* member : tasks_of(*process)) members.push_back(member->cpu->thread().tid());
  // The first one may have ended, and is no task any more.
  if (std::ranges::find(members, process->pid) == members.end()) members.push_back(process->pid);
  while (true) {
    int status = 0;
    bool any = false;
    for (const pid_t member : members) {
      if (waitpid(member, &status, __WALL | WNOHANG) != member) continue;
      any = true;
      HostThread thread(member);
      if (stop_event(status) == PTRACE_EVENT_EXEC) break;
      if (member == tid && after_call(thread, status)) {
        e.result = static_cast<int64_t>(thread.registers().rax);
        append(task, e, &before);
        task.context.complete_call(e.result);
        return;
      }
      // The first one's end is reported after those of all others.
      if (member == process->pid && (WIFEXITED(status) || WIFSIGNALED(status))) {
        process_gone(task, status);
        return;
      }
      if (!WIFSTOPPED(status)) continue;
      if (stop_event(status) == 0 && member == tid) post(task, thread.signal_info());
      thread.resume();
    }
    if (any && stop_event(status) == PTRACE_EVENT_EXEC) break;
    if (!any) usleep(20);
  }
  append(task, e, &before);

  for (auto* other : tasks_of(*process))
    if (other != &task) bury(*other);
  by_tid_.erase(tid);
  by_tid_[process->pid] = task.id;
  process->space->slots.erase(task.slot);
  process->signals.executed(task.id);
  task.slot = 1;
  if (!follows(*process, program.path)) {
    released_at_execve(task, program.path);
    return;
  }
  process->space = new_space(HostProcess::after_exec(HostThread(process->pid)));
  process->own_descriptors = true;  // execve(2) unshares them
  task.clear_tid = 0;
  task.robust_list = 0;
  task.saved_mask.reset();
  task.cpu = std::make_unique<GuestCpu>(task.host(), process->space->cache, task.host().thread(),
                                        task.slot);
  task.context.registers = task.cpu->to_guest(task.thread().registers());
  task.context.phase = 0;
  spdlog::debug("task {} executes {}", task.id, program.path);
  auto image = snapshot(task.host(), program, task.context.registers, trace_);
  image.cpu_features = shown_features(options_.cpu_features);
  image.cpuid = cpuid_answers_;
  follow_image(task, image);
  append(task, std::move(image));
}

void Recorder::exit_task(Task& task) {
  if (tasks_of(*task.process).size() == 1) {
    end_process(task, static_cast<int>((task.context.registers[Register::rdi] & 0xff) << 8), 0);
    return;
  }
  const Registers before = task.context.registers;
  event::TaskExit e{static_cast<int32_t>(before[Register::rdi]), {}};
  e.effects = robust_list_effects(task.robust_list, static_cast<uint32_t>(task.thread().tid()),
                                  task.memory());
  if (task.clear_tid != 0) e.effects.push_back({task.clear_tid, {0, 0, 0, 0}});
  append(task, std::move(e), &before);
  auto& thread = task.thread();
  task.cpu->start_syscall(task.context, SYS_exit, {before[Register::rdi], 0, 0, 0, 0, 0});
  // The kernel clears the tid and wakes whoever joins before the thread is reported as gone; the
  // token stays here until then. The first thread is not reported before the last one is gone.
  const bool first = thread.tid() == task.process->pid;
  while (true) {
    const auto status = first ? thread.poll() : thread.wait();
    if (!status) {
      if (task.memory().load<uint32_t>(task.clear_tid ? task.clear_tid : 1).value_or(0) == 0) break;
      usleep(50);
      continue;
    }
    if (!WIFSTOPPED(*status)) break;
    thread.resume();
  }
  bury(task);
}

void Recorder::end_process(Task& task, int status, int fatal_signal) {
  auto& thread = task.thread();
  spdlog::debug("task {} ends its process, status {:#x}", task.id, status);
  append(task, event::ProcessExit{status});
  if (fatal_signal != 0) {
    thread.set_registers(GuestCpu::to_host(task.context.registers, thread.registers()));
    thread.resume(fatal_signal);
  } else {
    task.cpu->start_syscall(task.context, SYS_exit_group,
                            {task.context.registers[Register::rdi], 0, 0, 0, 0, 0});
  }
  const int word = reap(*task.process, fatal_signal).value_or(status);
  endings_.push_back(word);
  if (task.process->pid == root_) status_ = word;
  for (auto* member : tasks_of(*task.process)) bury(*member);
}

// Waits for the end of all threads of a process that is ending, the first one last, as it is
// reported last; returns its status, or nothing if that was taken before. `signal`: ends it.
std::optional<int> Recorder::reap(const Process& process, int signal) {
  std::vector<HostThread> threads;
  for (const auto* member : tasks_of(process))
    if (member->cpu->thread().tid() != process.pid) threads.push_back(member->cpu->thread());
  threads.emplace_back(process.pid);
  std::optional<int> word;
  for (auto& thread : threads) {
    try {
      int status = thread.wait();
      while (WIFSTOPPED(status)) {
        try {
          const bool its_signal = stop_event(status) == 0 && WSTOPSIG(status) == signal;
          thread.resume(its_signal ? signal : 0);
        } catch (const TraceeGone&) {
          // Killed in this stop: the next one, or its end, is still to be waited for.
        }
        status = thread.wait();
      }
      if (thread.tid() == process.pid) word = status;
    } catch (const TraceeGone&) {
      // It was reaped before.
    }
  }
  return word;
}

void Recorder::process_gone(Task& task, std::optional<int> status) {
  const int word = status ? *status : reap(*task.process, 0).value_or(SIGKILL);
  spdlog::debug("the process of task {} is gone, status {:#x}", task.id, word);
  append(task, event::ProcessExit{word});
  endings_.push_back(word);
  if (task.process->pid == root_) status_ = word;
  for (auto* member : tasks_of(*task.process)) bury(*member);
}

}  // namespace heddle
