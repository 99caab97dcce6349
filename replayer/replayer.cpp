#include "replayer/replayer.h"

#include <sys/syscall.h>

#include <array>
#include <cstring>

#include "machine/syscalls/describe.h"
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
  keep_translations(*image);
  current_->signals.inherit(1, image->blocked_signals, image->ignored_signals);
  current_->first = true;
  tasks_[1] = current_;
}

// The recorder names the program by the file that is executed, which the image's path may only lead
// to. It is the one that lies lowest.
void Replayer::keep_translations(const event::Exec& image) {
  for (const auto& mapping : image.mappings) {
    if (!mapping.file) continue;
    guest().keep_translations(translations_of(translations_, mapping.path));
    return;
  }
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
      context.registers[Register::rax] == call.number) {
    actual = "other arguments";
    if (guest().request(task).arguments == call.arguments) {
      if (missed->registers && *missed->registers != context.registers)
        throw Divergence(missed->number, task, describe(missed->body) + " with recorded registers",
                         differing_registers(*missed->registers, context.registers));
      Divergence divergence(missed->number, task,
                            describe_request(call) + " with the recorded bytes", "other bytes");
      divergence.address = call.arguments[call.number == SYS_sigaltstack ? 0 : 1];
      throw divergence;
    }
  }
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

// Another task ran while this one waited in a call, or the call ended its process: there the call
// itself ends the run, which takes no translation of its own.
bool Replayer::stops_before_call(const Event& event) {
  constexpr uint16_t kSyscall = 0x050f;
  const bool stops = std::holds_alternative<event::Switch>(event.body) ||
                     std::holds_alternative<event::ProcessExit>(event.body);
  return options_.runtime_syscalls && stops && event.place.phase == 0 &&
         guest().memory().load<uint16_t>(event.place.pc) == kSyscall;
}

void Replayer::reach(const Event& event) {
  const Place& place = event.place;
  const bool runs = !std::holds_alternative<event::Released>(event.body) &&
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
  const bool before_call = stops_before_call(event);
  const bool stands = before_call_.erase(place.task) != 0 && at_syscall && held_.empty();
  if (stands && context.place() == place) {
    // It has come here already, to let another task run.
  } else if (at_syscall || before_call || std::holds_alternative<event::Instruction>(event.body) ||
             (signal && signal->synchronous)) {
    // The guest's own act ends the run: give it just the ticks that the recording says and one
    // more, so that a run that went elsewhere is noticed.
    const Ticks more = place.ticks >= context.ticks ? place.ticks - context.ticks + 1 : 1;
    const Exit exit = run_over_instrumentation(place.task, guest().run(place.task, more));
    const auto wanted = at_syscall || before_call ? Exit::Kind::syscall
                        : signal                  ? Exit::Kind::fault
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
  if (before_call) before_call_.insert(place.task);
  if (event.registers && *event.registers != context.registers) {
    Registers recorded = *event.registers;
    clear_dead_flags(recorded, guest().memory());
    clear_dead_flags(context.registers, guest().memory());
    if (recorded != context.registers)
      throw Divergence(event.number, place.task, describe(event.body) + " with recorded registers",
                       differing_registers(recorded, context.registers));
  }
}

void Replayer::advance(const Event& event) {
  if (tasks_.empty())
    throw Divergence(event.number, event.place.task, describe(event.body), "the program has ended");
  if (options_.runtime_syscalls && hold(event)) return;
  if (std::holds_alternative<event::Taint>(event.body)) return;
  reach(event);
  perform(event);
}

void Replayer::advance(const LoggedCalls& calls) {
  auto entries = calls.entries;
  for (uint64_t number = calls.first_event; !entries.empty(); ++number) {
    heddle_log_entry call;
    std::memcpy(&call, entries.data(), sizeof call);
    const auto entry = entries.first(call.size);
    entries = entries.subspan(call.size);
    if (!hold(call, entry, number)) advance(logged_call(entry, number, calls.time_ns));
  }
}

// What is written to a stream is shown by hold(Event).
bool Replayer::hold(const heddle_log_entry& call, std::span<const uint8_t> entry, uint64_t number) {
  const auto process = tasks_.find(call.task);
  if (!options_.runtime_syscalls || process == tasks_.end() || call.number == SYS_write ||
      call.number == SYS_writev || saved_masks_.contains(call.task) ||
      !held_.hold(call, entry, number))
    return false;
  // Early, but nothing asks for it before what is held has been run.
  process->second->signals.follow(entry);
  process->second->outputs.called(call.number, std::to_array(call.arguments), call.result);
  return true;
}

bool Replayer::hold(const Event& event) {
  const auto* call = std::get_if<event::Syscall>(&event.body);
  const auto process = tasks_.find(event.place.task);
  if (!call || process == tasks_.end() || saved_masks_.contains(event.place.task)) return false;
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
  const Place& call = held_.place();
  return place.ticks == call.ticks && place.pc == call.pc + 2;
}

void Replayer::translate_with(const translator::Options& options) {
  catch_up();
  options_ = options;
  std::set<Guest*> guests;
  for (const auto& [task, process] : tasks_) guests.insert(process->guest.get());
  for (Guest* guest : guests) guest->translate_with(options);
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
                  static_cast<unsigned long long>(range.start) + range.size);
    Divergence divergence(event.number, task, text, "other bytes");
    divergence.address = range.start;
    throw divergence;
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

}  // namespace heddle
