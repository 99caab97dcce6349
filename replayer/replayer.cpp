#include "replayer/replayer.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "machine/syscalls/describe.h"
#include "machine/syscalls/effects.h"
#include "machine/syscalls/file_changes.h"
#include "machine/syscalls/table.h"
#include "machine/tracee/cpu_features.h"
#include "machine/tracee/guest_code.h"
#include "machine/tracee/saved_translations.h"
#include "machine/tracee/state_hash.h"
#include "machine/translator/operand.h"

namespace heddle {
namespace {

std::string describe_exit(const Exit& exit, const TaskContext& context) {
  const std::string at = " (" + describe(context.place()) + ")";
  switch (exit.kind) {
    case Exit::Kind::syscall: {
      const auto number = context.registers[Register::rax];
      const auto* known = find(number);
      return std::string("system call ") + (known ? known->name : std::to_string(number)) + at;
    }
    case Exit::Kind::special:
      return "a special instruction" + at;
    case Exit::Kind::budget:
      return "it went on to other ticks" + at;
    case Exit::Kind::fault: {
      char text[64];
      std::snprintf(text, sizeof text, "signal %d for address %p", exit.info.si_signo,
                    exit.info.si_addr);
      return text + at;
    }
    case Exit::Kind::event:
      return "the replaying process ended";
    default:
      return "an exit of kind " + std::to_string(static_cast<int>(exit.kind)) + at;
  }
}

}  // namespace

Replayer::Replayer(const Event& exec, PinnedFiles files, OutputSink output,
                   const translator::Options& options, const std::filesystem::path& translations)
    : files_(std::move(files)),
      options_(options),
      translations_(translations),
      output_(std::move(output)) {
  const auto* image = std::get_if<event::Exec>(&exec.body);
  if (!image) throw std::runtime_error("the trace does not begin with the program's image");
  if (const auto missing = missing_features(image->cpu_features); !missing.empty()) {
    std::string names;
    for (const auto& name : missing) names += (names.empty() ? "" : ", ") + name;
    throw std::runtime_error("the program was recorded on a processor with " + names +
                             ", which this machine does not have: replay it on one that does, "
                             "or record it with --cpu-features=sse");
  }
  current_ = std::make_shared<Process>();
  current_->guest = std::make_shared<Guest>(*image, files_, options_);
  current_->guest->cache().keep_in(translations_of(translations_, image->path));
  current_->signals.inherit(1, image->blocked_signals, image->ignored_signals);
  current_->first = true;
  tasks_[1] = current_;
}

Guest* Replayer::guest_of(TaskId task) {
  const auto it = tasks_.find(task);
  return it == tasks_.end() ? nullptr : it->second->guest.get();
}

std::vector<TaskId> Replayer::tasks() const {
  std::vector<TaskId> tasks;
  for (const auto& [task, process] : tasks_) tasks.push_back(task);
  return tasks;
}

Exit Replayer::run_over_instrumentation(TaskId task, Exit exit) {
  while (exit.kind == Exit::Kind::log_full || exit.kind == Exit::Kind::hook ||
         exit.kind == Exit::Kind::point) {
    if (!on_instrumentation)
      throw std::logic_error("an instrumentation exit that nobody asked for");
    on_instrumentation(exit);
    exit = guest().cpu().wait(guest().task(task));
  }
  return exit;
}

std::optional<Exit> Replayer::run_to(const Place& place) {
  TaskContext& context = guest().task(place.task);
  if (context.ticks < place.ticks) {
    const Exit exit =
        run_over_instrumentation(place.task, guest().run(place.task, place.ticks - context.ticks));
    if (exit.kind != Exit::Kind::budget) return exit;
  }
  if (context.place() == place || context.ticks > place.ticks) return std::nullopt;
  return guest().run_to(place);
}

// The runtime leaves a call that it cannot answer to us: there the run differs.
void Replayer::check_held(TaskId task, const Exit* exit) {
  if (output_) held_.show(guest(), output_);
  const auto missed = held_.unanswered(guest());
  if (!missed) return;
  const TaskContext& context = guest().task(task);
  std::string actual = "the task went on to " + describe(context.place());
  if (exit) actual = describe_exit(*exit, context);
  const auto& call = std::get<event::Syscall>(missed->body);
  if (exit && exit->kind == Exit::Kind::syscall && context.place() == missed->place &&
      context.registers[Register::rax] == call.number)
    actual = "other arguments";
  throw Divergence(missed->number, task,
                   describe(missed->body) + " (" + describe(missed->place) + ")", actual);
}

bool Replayer::reach(const Place& place) {
  catch_up();
  const auto process = tasks_.find(place.task);
  if (process == tasks_.end()) return false;
  current_ = process->second;
  run_to(place);
  return guest().task(place.task).place() == place;
}

void Replayer::reach(const Event& event) {
  const Place& place = event.place;
  const bool runs = !std::holds_alternative<event::ProcessExit>(event.body) &&
                    !std::holds_alternative<event::Released>(event.body) &&
                    !std::holds_alternative<event::Exec>(event.body);
  if (!held_.empty() && (!runs || held_.task() != place.task || is_behind_held(place))) catch_up();
  const auto process = tasks_.find(place.task);
  if (process == tasks_.end())
    throw Divergence(event.number, place.task, describe(event.body), "there is no such task");
  current_ = process->second;
  if (!runs) return;
  TaskContext& context = guest().task(place.task);
  const auto mismatch = [&](const Exit& exit) {
    check_held(place.task, &exit);
    throw Divergence(event.number, place.task, describe(event.body) + " (" + describe(place) + ")",
                     describe_exit(exit, context));
  };
  if (!held_.empty()) held_.give(guest());

  const bool at_syscall = std::holds_alternative<event::Syscall>(event.body) ||
                          std::holds_alternative<event::TaskExit>(event.body);
  const auto* signal = std::get_if<event::Signal>(&event.body);
  if (at_syscall || std::holds_alternative<event::Instruction>(event.body) ||
      (signal && signal->synchronous)) {
    // The guest's own act ends the run: give it just the ticks that the recording says and one
    // more, so that a run that went elsewhere is noticed.
    const Ticks more = place.ticks >= context.ticks ? place.ticks - context.ticks + 1 : 1;
    const Exit exit = run_over_instrumentation(place.task, guest().run(place.task, more));
    const auto wanted = at_syscall ? Exit::Kind::syscall
                        : signal   ? Exit::Kind::fault
                                   : Exit::Kind::special;
    if (exit.kind != wanted) mismatch(exit);
    if (signal && exit.info.si_signo != signal->number) mismatch(exit);
    if (context.place() != place) mismatch(exit);
  } else if (!std::holds_alternative<event::Taint>(event.body)) {
    if (const auto exit = run_to(place)) mismatch(*exit);
    if (context.place() != place)
      throw Divergence(event.number, place.task, describe(place), describe(context.place()));
  }
  check_held(place.task, nullptr);
  held_.clear();
  if (event.registers && *event.registers != context.registers)
    throw Divergence(event.number, place.task, describe(event.body) + " with recorded registers",
                     differing_registers(*event.registers, context.registers));
}

void Replayer::advance(const Event& event) {
  if (tasks_.empty())
    throw Divergence(event.number, event.place.task, describe(event.body), "the program has ended");
  if (options_.runtime_syscalls && hold(event)) return;
  if (std::holds_alternative<event::Taint>(event.body)) return;
  reach(event);
  perform(event);
}

bool Replayer::hold(const Event& event) {
  const auto* call = std::get_if<event::Syscall>(&event.body);
  const auto process = tasks_.find(event.place.task);
  if (!call || process == tasks_.end()) return false;
  auto& outputs = process->second->outputs;
  const bool writes = call->number == SYS_write || call->number == SYS_writev;
  const auto stream =
      writes && output_ ? outputs.stream(static_cast<int>(call->arguments[0])) : std::nullopt;
  if (!held_.hold(event, stream)) return false;
  outputs.called(call->number, call->arguments, call->result);
  return true;
}

// Just behind the last call that is held, where a signal is taken that came during it.
bool Replayer::is_behind_held(const Place& place) const {
  const Place& call = held_.last().place;
  return place.ticks == call.ticks && place.pc == call.pc + 2;
}

void Replayer::catch_up() {
  if (held_.empty()) return;
  const Event last = held_.take_last();
  reach(last);
  perform(last);
}

void Replayer::perform(const Event& event) {
  const TaskId task = event.place.task;
  // A call that came with a mask of its own, and that no signal followed.
  if (const auto it = saved_masks_.find(task);
      it != saved_masks_.end() && !std::holds_alternative<event::Signal>(event.body)) {
    if (tasks_.contains(task)) tasks_.at(task)->signals.set_mask(task, it->second);
    saved_masks_.erase(it);
  }
  if (const auto* over = std::get_if<event::ProcessExit>(&event.body)) {
    process_exit(*over);
  } else if (const auto* released = std::get_if<event::Released>(&event.body)) {
    if (current_->first) released_ = released->reason;
    remove_tasks(*std::shared_ptr(current_), 0);
  } else if (const auto* image = std::get_if<event::Exec>(&event.body)) {
    exec(event, *image);
  } else if (const auto* call = std::get_if<event::Syscall>(&event.body)) {
    apply(event, *call);
  } else if (const auto* answer = std::get_if<event::Instruction>(&event.body)) {
    const auto length = translator::instruction_length(GuestCode(guest().memory()), event.place.pc);
    guest().complete(task, *answer, length);
  } else if (const auto* signal = std::get_if<event::Signal>(&event.body)) {
    apply(event, *signal);
  } else if (const auto* hash = std::get_if<event::StateHash>(&event.body)) {
    compare(event, *hash);
  } else if (const auto* end = std::get_if<event::TaskExit>(&event.body)) {
    guest().apply(end->effects);
    guest().remove_task(task);
    current_->signals.remove_task(task);
    tasks_.erase(task);
  }
}

void Replayer::compare(const Event& event, const event::StateHash& hash) {
  const TaskId task = event.place.task;
  for (const auto& range : hash.memory) {
    if (hash_range(guest().memory(), range.start, range.size) == range.hash) continue;
    char text[96];
    std::snprintf(text, sizeof text, "the recorded memory in 0x%llx-0x%llx",
                  static_cast<unsigned long long>(range.start),
                  static_cast<unsigned long long>(range.start + range.size));
    throw Divergence(event.number, task, text, "other bytes");
  }
  if (hash_extended(guest().extended_state(task)) != hash.extended)
    throw Divergence(event.number, task, "the recorded vector and x87 registers", "others");
}

void Replayer::apply(const Event& event, const event::Signal& signal) {
  if (signal.fatal) return;
  const SignalInfo info{signal.number, signal.siginfo};
  std::optional<uint64_t> restore;
  if (const auto it = saved_masks_.find(event.place.task); it != saved_masks_.end()) {
    restore = it->second;
    saved_masks_.erase(it);
  }
  if (!guest().push_frame(event.place.task, current_->signals, info, restore))
    throw Divergence(event.number, event.place.task, "a stack for the signal's frame",
                     "the stack is not writable");
}

void Replayer::apply(const Event& event, const event::Syscall& call) {
  const TaskId task = event.place.task;
  const auto request = guest().request(task);
  const auto* known = find(call.number);
  event::Syscall made;
  made.number = static_cast<uint32_t>(request.number);
  made.arguments = request.arguments;
  // Calls that were logged in the tracee come without their names, and so do those of a model.
  if (known && !call.texts.empty()) made.texts = texts(*known, request.arguments, guest().memory());
  if (made.number != call.number || made.arguments != call.arguments || made.texts != call.texts)
    throw Divergence(event.number, task, describe_request(call), describe_request(made));
  show_output(call);
  current_->outputs.called(call.number, call.arguments, call.result);
  if (known && (call.interrupted || call.result == -EINTR)) {
    if (const auto mask = temporary_mask(*known, call.arguments, guest().memory())) {
      saved_masks_[task] = current_->signals.mask(task);
      current_->signals.set_mask(task, *mask);
    }
  }
  if (call.interrupted && call.result <= -512) {
    // Executed again, after the handler if there is one.
    guest().apply(call.effects);
    guest().task(task).restart_call();
    return;
  }
  if (call.child != 0) {
    add_child(event, call, request);
    return;
  }
  if (known && known->replay == Replay::virtualised) {
    virtualised(event, call);
    return;
  }
  if (known && known->replay == Replay::performed)
    guest().perform(request, call.result, call.file);
  else if (call.file) {
    guest().shared()->update(*call.file, call.object_bytes);
    guest().shared_code_changed();
  }
  guest().apply(call.effects);
  // A write to a mapped file may have changed code.
  if (known && !call.effects.empty() &&
      file_change(*known, call.arguments, call.result, guest().memory()))
    for (const auto& e : call.effects) guest().code_changed(e.address, e.bytes.size(), false);
  guest().complete(task, call.result);
}

// clone, fork and vfork: see Recorder::clone.
void Replayer::add_child(const Event& event, const event::Syscall& call,
                         const SyscallRequest& request) {
  const TaskId task = event.place.task, child = call.child;
  const auto wanted = clone_arguments(call.number, call.arguments, guest().memory());
  if (!wanted)
    throw Divergence(event.number, task, "readable arguments of clone", "they are not mapped");
  if (wanted->flags & CLONE_THREAD) {
    guest().add_task(task, child, request);
    current_->signals.add_task(child, task);
    tasks_[child] = current_;
  } else {
    auto process = std::make_shared<Process>();
    process->signals = current_->signals.forked(task, child);
    process->outputs = current_->outputs;
    if (wanted->flags & CLONE_VM) {
      process->guest = current_->guest;
      guest().add_task(task, child, request);
    } else {
      process->guest = guest().fork_process(task, child, request);
      if (wanted->flags & CLONE_CHILD_SETTID)
        process->guest->memory().store(wanted->child_tid, static_cast<uint32_t>(call.result));
    }
    tasks_[child] = std::move(process);
  }
  guest().apply(call.effects);
  guest().complete(task, call.result);
}

void Replayer::exec(const Event& event, const event::Exec& image) {
  const TaskId task = event.place.task;
  auto process = current_;
  remove_tasks(*process, task);
  process->guest->remove_task(task);
  const auto shared = process->guest->shared();
  process->guest = std::make_shared<Guest>(image, files_, options_, event.place);
  process->guest->cache().keep_in(translations_of(translations_, image.path));
  process->guest->use(shared);
  process->signals.executed(task);
  process->outputs.executed();
}

void Replayer::process_exit(const event::ProcessExit& end) {
  const auto process = current_;
  if (process->first) status_ = end.status;
  remove_tasks(*process, 0);
}

// All of the process but one.
void Replayer::remove_tasks(const Process& process, TaskId but) {
  for (auto it = tasks_.begin(); it != tasks_.end();) {
    if (it->second.get() != &process || it->first == but) {
      ++it;
      continue;
    }
    // The last state of a guest that nobody shares stays to be looked at.
    if (process.guest.use_count() > 1) process.guest->remove_task(it->first);
    it = tasks_.erase(it);
  }
}

void Replayer::virtualised(const Event& event, const event::Syscall& call) {
  const TaskId task = event.place.task;
  auto& context = guest().task(task);
  auto& memory = guest().memory();
  std::vector<MemoryEffect> effects;
  const auto& a = call.arguments;
  switch (call.number) {
    case SYS_rt_sigaction:
      current_->signals.rt_sigaction(a, memory, &effects);
      break;
    case SYS_rt_sigprocmask:
      current_->signals.rt_sigprocmask(task, a, memory, &effects);
      break;
    case SYS_sigaltstack:
      current_->signals.sigaltstack(task, a, context.registers[Register::rsp], memory, &effects);
      break;
    case SYS_rt_sigreturn:
      if (call.result == -EFAULT) {
        context.complete_call(0);
        return;
      }
      if (!guest().pop_frame(task, current_->signals))
        throw Divergence(event.number, task, "a signal frame", "the stack is not readable");
      return;
    case SYS_execve:
    case SYS_execveat:
      if (call.result == 0) return;  // the new image is the next event
      break;
    case SYS_arch_prctl:
      if (a[0] == 0x1002 /* ARCH_SET_FS */ && call.result == 0)
        context.registers[Register::fs_base] = a[1];
      break;
    default:
      break;
  }
  guest().apply(call.effects);
  guest().complete(task, call.result);
}

void Replayer::show_output(const event::Syscall& call) {
  if (!output_ || call.result <= 0) return;
  if (call.number != SYS_write && call.number != SYS_writev) return;
  const auto stream = current_->outputs.stream(static_cast<int>(call.arguments[0]));
  if (!stream) return;
  auto left = static_cast<size_t>(call.result);
  auto& memory = guest().memory();
  const auto show = [&](uint64_t address, size_t size) {
    std::vector<uint8_t> bytes(size);
    bytes.resize(memory.read(address, bytes));
    output_(*stream, bytes);
  };
  if (call.number == SYS_write) {
    show(call.arguments[1], left);
  } else if (call.number == SYS_writev) {
    for (uint64_t i = 0; i < call.arguments[2] && left > 0; ++i) {
      const auto part = memory.load<iovec>(call.arguments[1] + i * sizeof(iovec));
      if (!part) break;
      const size_t n = std::min(left, part->iov_len);
      show(reinterpret_cast<uint64_t>(part->iov_base), n);
      left -= n;
    }
  }
}

}  // namespace heddle
