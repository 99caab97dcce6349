#include "replayer/replayer.h"

#include <sys/syscall.h>
#include <sys/uio.h>

#include "machine/syscalls/effects.h"
#include "machine/syscalls/file_changes.h"
#include "machine/syscalls/table.h"
#include "machine/tracee/guest_code.h"
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
                   const translator::Options& options)
    : output_(std::move(output)) {
  const auto* image = std::get_if<event::Exec>(&exec.body);
  if (!image) throw std::runtime_error("the trace does not begin with the program's image");
  guest_ = std::make_unique<Guest>(*image, std::move(files), options);
  signals_.add_task(1, 0);
}

Exit Replayer::run_over_instrumentation(TaskId task, Exit exit) {
  while (exit.kind == Exit::Kind::log_full || exit.kind == Exit::Kind::hook ||
         exit.kind == Exit::Kind::point) {
    if (!on_instrumentation)
      throw std::logic_error("an instrumentation exit that nobody asked for");
    on_instrumentation(exit);
    exit = guest_->cpu().wait(guest_->task(task));
  }
  return exit;
}

std::optional<Exit> Replayer::run_to(const Place& place) {
  TaskContext& context = guest_->task(place.task);
  if (context.ticks < place.ticks) {
    const Exit exit =
        run_over_instrumentation(place.task, guest_->run(place.task, place.ticks - context.ticks));
    if (exit.kind != Exit::Kind::budget) return exit;
  }
  if (context.place() == place || context.ticks > place.ticks) return std::nullopt;
  return guest_->run_to(place);
}

void Replayer::reach(const Event& event) {
  const Place& place = event.place;
  if (!guest_->has_task(place.task))
    throw Divergence(event.number, place.task, describe(event.body), "there is no such task");
  TaskContext& context = guest_->task(place.task);
  const auto mismatch = [&](const Exit& exit) {
    throw Divergence(event.number, place.task, describe(event.body) + " (" + describe(place) + ")",
                     describe_exit(exit, context));
  };

  const bool at_syscall = std::holds_alternative<event::Syscall>(event.body) ||
                          std::holds_alternative<event::TaskExit>(event.body);
  const auto* signal = std::get_if<event::Signal>(&event.body);
  if (at_syscall || std::holds_alternative<event::Instruction>(event.body) ||
      (signal && signal->synchronous)) {
    // The guest's own act ends the run: give it just the ticks that the recording says and one
    // more, so that a run that went elsewhere is noticed.
    const Ticks more = place.ticks >= context.ticks ? place.ticks - context.ticks + 1 : 1;
    const Exit exit = run_over_instrumentation(place.task, guest_->run(place.task, more));
    const auto wanted = at_syscall ? Exit::Kind::syscall
                        : signal   ? Exit::Kind::fault
                                   : Exit::Kind::special;
    if (exit.kind != wanted) mismatch(exit);
    if (signal && exit.info.si_signo != signal->number) mismatch(exit);
    if (context.place() != place) mismatch(exit);
  } else if (!std::holds_alternative<event::ProcessExit>(event.body) &&
             !std::holds_alternative<event::Taint>(event.body)) {
    if (const auto exit = run_to(place)) mismatch(*exit);
    if (context.place() != place)
      throw Divergence(event.number, place.task, describe(place), describe(context.place()));
  }
  if (event.registers && *event.registers != context.registers &&
      !std::holds_alternative<event::ProcessExit>(event.body))
    throw Divergence(event.number, place.task, describe(event.body) + " with recorded registers",
                     differing_registers(*event.registers, context.registers));
}

void Replayer::advance(const Event& event) {
  if (status_)
    throw Divergence(event.number, event.place.task, describe(event.body), "the program has ended");
  if (std::holds_alternative<event::Taint>(event.body)) return;
  if (const auto* end = std::get_if<event::ProcessExit>(&event.body)) {
    status_ = end->status;
    return;
  }
  reach(event);
  const TaskId task = event.place.task;
  if (const auto* call = std::get_if<event::Syscall>(&event.body)) {
    apply(event, *call);
  } else if (const auto* answer = std::get_if<event::Instruction>(&event.body)) {
    const auto length = translator::instruction_length(GuestCode(guest_->memory()), event.place.pc);
    guest_->complete(task, *answer, length);
  } else if (const auto* signal = std::get_if<event::Signal>(&event.body)) {
    apply(event, *signal);
  } else if (const auto* hash = std::get_if<event::StateHash>(&event.body)) {
    compare(event, *hash);
  } else if (const auto* end = std::get_if<event::TaskExit>(&event.body)) {
    guest_->apply(end->effects);
    guest_->remove_task(task);
    signals_.remove_task(task);
  }
}

void Replayer::compare(const Event& event, const event::StateHash& hash) {
  const TaskId task = event.place.task;
  for (const auto& range : hash.memory) {
    if (hash_range(guest_->memory(), range.start, range.size) == range.hash) continue;
    char text[96];
    std::snprintf(text, sizeof text, "the recorded memory in 0x%llx-0x%llx",
                  static_cast<unsigned long long>(range.start),
                  static_cast<unsigned long long>(range.start + range.size));
    throw Divergence(event.number, task, text, "other bytes");
  }
  if (hash_extended(guest_->extended_state(task)) != hash.extended)
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
  if (!guest_->push_frame(event.place.task, signals_, info, restore))
    throw Divergence(event.number, event.place.task, "a stack for the signal's frame",
                     "the stack is not writable");
}

void Replayer::apply(const Event& event, const event::Syscall& call) {
  const TaskId task = event.place.task;
  const auto request = guest_->request(task);
  if (request.number != call.number || request.arguments != call.arguments)
    throw Divergence(event.number, task, describe(event.body),
                     "system call " + std::to_string(request.number) + " or other arguments");
  show_output(call);
  if (call.number == SYS_rt_sigsuspend) {
    if (const auto mask = guest_->memory().load<uint64_t>(call.arguments[0])) {
      saved_masks_[task] = signals_.mask(task);
      signals_.set_mask(task, *mask);
    }
  }
  if (call.interrupted && call.result <= -512) return;  // executed again after the handler
  const auto* known = find(call.number);
  if (call.child != 0) {
    guest_->add_task(task, call.child, request);
    signals_.add_task(call.child, task);
    guest_->apply(call.effects);
    guest_->complete(task, call.result);
    return;
  }
  if (known && known->replay == Replay::virtualised) {
    virtualised(event, call);
    return;
  }
  if (known && known->replay == Replay::performed)
    guest_->perform(request, call.result, call.file);
  else if (call.file)
    guest_->resize_object(*call.file);
  guest_->apply(call.effects);
  // A write to a mapped file may have changed code.
  if (known && !call.effects.empty() &&
      file_change(*known, call.arguments, call.result, guest_->memory()))
    for (const auto& e : call.effects) guest_->cache().invalidate(e.address, e.bytes.size());
  guest_->complete(task, call.result);
}

void Replayer::virtualised(const Event& event, const event::Syscall& call) {
  const TaskId task = event.place.task;
  auto& context = guest_->task(task);
  auto& memory = guest_->memory();
  std::vector<MemoryEffect> effects;
  const auto& a = call.arguments;
  switch (call.number) {
    case SYS_rt_sigaction:
      signals_.rt_sigaction(a, memory, &effects);
      break;
    case SYS_rt_sigprocmask:
      signals_.rt_sigprocmask(task, a, memory, &effects);
      break;
    case SYS_sigaltstack:
      signals_.sigaltstack(task, a, context.registers[Register::rsp], memory, &effects);
      break;
    case SYS_rt_sigreturn:
      if (!guest_->pop_frame(task, signals_))
        throw Divergence(event.number, task, "a signal frame", "the stack is not readable");
      return;
    case SYS_arch_prctl:
      if (a[0] == 0x1002 /* ARCH_SET_FS */ && call.result == 0)
        context.registers[Register::fs_base] = a[1];
      break;
    default:
      break;
  }
  guest_->apply(call.effects);
  guest_->complete(task, call.result);
}

void Replayer::show_output(const event::Syscall& call) {
  if (!output_ || call.result <= 0) return;
  const int stream = static_cast<int>(call.arguments[0]);
  if (stream != 1 && stream != 2) return;
  auto left = static_cast<size_t>(call.result);
  auto& memory = guest_->memory();
  const auto show = [&](uint64_t address, size_t size) {
    std::vector<uint8_t> bytes(size);
    bytes.resize(memory.read(address, bytes));
    output_(stream, bytes);
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
