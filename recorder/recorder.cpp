#include "recorder/recorder.h"

#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "machine/tracee/state_hash.h"
#include "recorder/exec_snapshot.h"
#include "recorder/inherited_signals.h"
#include "recorder/special_instructions.h"
#include "trace_format/logged_calls.h"

namespace heddle {
namespace {
// What a task may do while others wait for the token.
constexpr Ticks kSlice = 2'000'000;
constexpr int kSliceStops = 100;
constexpr uint64_t kSliceCalls = 2'000;  // served in the tracee
}  // namespace

Recorder::Recorder(const Program& program, const std::filesystem::path& trace_directory,
                   const RecordOptions& options)
    : options_(options),
      launch_(std::in_place, program),
      trace_(trace_directory, options.shared_files) {
  auto task = std::make_unique<Task>();
  task->id = 1;
  task->process = std::make_shared<Process>();
  task->process->space = new_space(HostProcess::start(std::move(*launch_)));
  launch_.reset();
  task->process->pid = root_ = task->host().pid();
  const auto inherited = inherited_signals(root_);
  task->signals().inherit(1, inherited.blocked, inherited.ignored);
  task->cpu = std::make_unique<GuestCpu>(task->host(), task->process->space->cache,
                                         task->host().thread(), task->slot);
  task->context.task = 1;
  task->context.registers = task->cpu->to_guest(task->host().thread().registers());
  Event first;
  first.place = {1, 0, task->context.registers[Register::rip], 0};
  auto image = snapshot(task->host(), program, task->context.registers, trace_);
  image.cpu_features = shown_features(options_.cpu_features);
  image.cpuid = cpuid_answers_;
  image.blocked_signals = inherited.blocked;
  image.ignored_signals = inherited.ignored;
  follow_image(*task, image);
  first.body = std::move(image);
  trace_.append(first);
  trace_.flush();
  if (trace_.failure()) {
    task->host().kill();
    throw std::runtime_error(*trace_.failure());
  }
  log_->clear(trace_.events());
  mirror_mask(*task);
  by_tid_[root_] = 1;
  ready_.push_back(1);
  tasks_[1] = std::move(task);
}

Recorder::~Recorder() {
  std::set<std::shared_ptr<Process>> processes;
  for (const auto& [id, task] : tasks_) processes.insert(task->process);
  for (const auto& process : processes) {
    kill(process->pid, SIGKILL);
    // One whose exit stop was reported already stays in it.
    for (Task* task : tasks_of(*process)) {
      try {
        task->thread().resume();
      } catch (const TraceeGone&) {
        // It was not stopped, or is gone.
      }
    }
    try {
      reap(*process, 0);
    } catch (const std::exception&) {
      // It is gone already.
    }
  }
}

Recorder::Task& Recorder::task_of(pid_t tid) {
  return *tasks_.at(by_tid_.at(tid));
}

uint64_t Recorder::now_ns() const {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now() - began_)
                                   .count());
}

// The calls served in the tracee become events; their task is stopped, before what comes next. The
// log is emptied only when the trace has them, so that no moment to die loses one.
void Recorder::drain() {
  const auto entries = log_->entries();
  if (entries.empty()) return;
  const auto count = log_->count();
  if (entry_count(entries) != count)
    throw std::logic_error("event " + std::to_string(trace_.events()) +
                           ": the log of system calls is damaged: the program wrote to it");
  trace_.append_calls(entries, count, now_ns());
  drained_ += count;
  log_->clear(trace_.events());
}

// The log is full, or nearly: the next calls go to the other, while this one becomes a chunk.
void Recorder::pass_log_on(Task& task) {
  const auto count = log_->count();
  trace_.append_log(log_->entries(), count, now_ns());
  drained_ += count;
  if (!trace_.failure())
    log_->turn(trace_.events(), task.host(), task.thread());
  else
    log_->clear(trace_.events());
}

Event& Recorder::append(const Task& task, EventBody body, const Registers* registers) {
  drain();
  static Event event;
  event = {};
  event.number = trace_.events();
  event.time_ns = now_ns();
  event.registers = registers ? *registers : task.context.registers;
  event.place = {task.id, task.context.ticks, (*event.registers)[Register::rip], 0};
  if (const auto* taint = std::get_if<event::Taint>(&body); taint && !tainted_)
    tainted_ = taint->reason;
  event.body = std::move(body);
  trace_.append(event);
  log_->clear(trace_.events());
  return event;
}

Recorder::Task* Recorder::next_ready() {
  while (!ready_.empty()) {
    const auto it = tasks_.find(ready_.front());
    ready_.pop_front();
    if (it != tasks_.end() && it->second->state == State::ready) return it->second.get();
  }
  return nullptr;
}

Ticks Recorder::ticks() const {
  Ticks all = ended_ticks_;
  for (const auto& [id, task] : tasks_) all += task->context.ticks;
  return all;
}

int Recorder::run() {
  while (!ended_) {
    ended_tasks_.clear();
    pass_on_signals();
    if (const auto reason = reason_to_stop(); reason && release_all(*reason)) break;
    Task* task = next_ready();
    if (!task) {
      wait_in_kernel();
      continue;
    }
    try {
      run_slice(*task);
    } catch (const TraceeGone&) {
      // Killed from outside, stopped as it was.
      process_gone(*task, std::nullopt);
    }
  }
  return root_released_ ? wait_natively() : status_;
}

// Nobody can run: sleep until a call completes.
void Recorder::wait_in_kernel() {
  if (options_.max_bytes != 0) trace_.flush();  // for its size
  int status = 0;
  const pid_t tid = waitpid(-1, &status, __WALL);
  if (tid < 0) {
    if (errno == EINTR) return;
    throw TraceeGone("the program is gone");
  }
  if (!by_tid_.contains(tid)) return;
  Task& task = task_of(tid);
  take_report(task, status);
}

// A task that does not have the token is ready, where what its thread reports says so.
void Recorder::take_report(Task& task, int status) {
  try {
    if (call_stopped(task, status)) ready_.push_back(task.id);
  } catch (const TraceeGone&) {
    // Killed in this stop: the next thing that it reports is its end.
  }
}

// Tasks whose calls have ended meanwhile are ready.
void Recorder::take_completed_calls() {
  siginfo_t news{};
  if (waitid(P_ALL, 0, &news, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) != 0 ||
      news.si_pid == 0)
    return;
  // One that was killed takes its process out of tasks_.
  std::vector<Task*> waiting;
  for (auto& [id, task] : tasks_)
    if (waits(*task)) waiting.push_back(task.get());
  for (Task* task : waiting) {
    int status = 0;
    if (waits(*task) && waitpid(task->thread().tid(), &status, __WALL | WNOHANG) > 0)
      take_report(*task, status);
  }
}

// The next stop of `task`, which has the token. `alone`: it runs as long as nobody else has
// anything to report and nothing is sent to the recorder; false where it has been told to end.
int Recorder::wait_for(Task& task, bool& alone) {
  if (alone) {
    siginfo_t news{};
    const int found = waitid(P_ALL, 0, &news, WEXITED | WSTOPPED | WNOWAIT | __WALL);
    alone = found == 0 && news.si_pid == task.cpu->thread().tid();
    if (!alone) task.cpu->end_soon();
  }
  return task.cpu->thread().wait();
}

// `task` has the token until it blocks, ends or has had its share.
void Recorder::run_slice(Task& task) {
  if (task.call) write_call(task);
  deliver_pending(task);
  Ticks slice_end = task.context.ticks + kSlice;
  int stops = 0;
  uint64_t first_call = logged_calls();
  const auto calls = [&] { return logged_calls() - first_call; };
  while (!ended_ && task.state == State::ready) {
    if (task.process->stopped) {
      park(task);
      deliver_pending(task);
      continue;
    }
    Ticks end = slice_end;
    if (options_.hash_every != 0) {
      if (task.context.ticks >= task.next_hash) hash_state(task);
      end = std::min(end, task.next_hash);
    }
    const uint64_t share = tasks_.size() == 1 ? ~uint64_t{0} : kSliceCalls;
    task.cpu->grant_calls(task.process->space->logs ? share - std::min(share, calls()) : 0,
                          task.process->own_descriptors);
    task.cpu->grant_signals(signals_to_serve(task));
    const bool was_alone = ready_.empty() && options_.hash_every == 0;
    bool alone = was_alone;
    task.cpu->start(task.context, alone ? GuestCpu::kUnlimited : end - task.context.ticks);
    std::optional<Exit> exit;
    while (!exit) {
      ++stops_;
      exit = task.cpu->stopped(wait_for(task, alone), task.context);
      const bool stopped = exit && is_group_stop(exit->status);
      if (stopped || (exit && exit->kind == Exit::Kind::signal)) {
        if (stopped)
          task.process->stopped = true;
        else
          post(task, exit->info);
        // One that the last call has let in comes before anything else.
        if (task.cpu->at_start()) {
          exit->kind = Exit::Kind::budget;
          break;
        }
        task.cpu->keep_running(true);
        exit.reset();
      } else if (exit && exit->kind == Exit::Kind::event && stop_event(exit->status) != 0) {
        task.cpu->thread().resume();
        exit.reset();
      }
    }
    follow_served_signals();
    switch (exit->kind) {
      case Exit::Kind::syscall: {
        // A signal that is held comes before the call: it could not end one that waits.
        const Place at = task.context.place();
        deliver_pending(task);
        if (ended_ || task.state != State::ready || task.process->stopped ||
            task.context.place() != at)
          break;
        // The log was full, or the calls granted were used up: the runtime may make it yet.
        if (exit->again && log_->entries().size() > SyscallLog::kCapacity / 2)
          pass_log_on(task);
        else if (exit->again && log_->count() != 0)
          drain();
        else
          syscall(task, exit->waits);
        break;
      }
      case Exit::Kind::special: {
        const auto answer =
            answer_special(*exit->site, task.context.registers, options_.cpu_features);
        append(task, answer);
        complete_instruction(answer, exit->site->length, task.context.registers);
        break;
      }
      case Exit::Kind::fault:
        fault(task, exit->info);
        break;
      case Exit::Kind::budget:
        deliver_pending(task);
        break;
      case Exit::Kind::event:
        process_gone(task, task.thread().tid() == task.process->pid
                               ? std::optional<int>(exit->status)
                               : std::nullopt);
        return;
      default:
        throw std::logic_error("an exit that recording does not ask for");
    }
    if (ended_ || task.state != State::ready) return;
    take_completed_calls();
    const bool told = was_alone && !alone && ready_.empty();
    if (task.context.ticks < slice_end && ++stops < kSliceStops && calls() < share && !told)
      continue;
    if (!ready_.empty()) {
      append(task, event::Switch{ready_.front()});
      ready_.push_back(task.id);
      return;
    }
    if (to_pass_on_ != 0 || reason_to_stop()) {
      ready_.push_back(task.id);
      return;
    }
    slice_end = task.context.ticks + kSlice;
    stops = 0;
    first_call = logged_calls();
  }
}

void Recorder::hash_state(Task& task) {
  task.next_hash = task.context.ticks + options_.hash_every;
  event::StateHash hash;
  hash.extended = hash_extended(canonical_state(task.cpu->thread().extended_state()));
  hash.memory = hash_memory(task.memory());
  append(task, hash);
}

// The task is over; references to it stay good until the next slice.
void Recorder::bury(Task& task) {
  task.state = State::done;
  by_tid_.erase(task.cpu->thread().tid());
  task.signals().remove_task(task.id);
  task.process->space->slots.erase(task.slot);
  ended_ticks_ += task.context.ticks;
  ended_tasks_.push_back(std::move(tasks_.at(task.id)));
  tasks_.erase(task.id);
  if (tasks_.empty() && !ended_) {
    trace_.finish();
    ended_ = true;
  }
}

}  // namespace heddle
