// What a replayed system call does to the program, beyond its result.
#include <sched.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "machine/syscalls/describe.h"
#include "machine/syscalls/effects.h"
#include "machine/syscalls/file_changes.h"
#include "machine/syscalls/given.h"
#include "machine/syscalls/table.h"
#include "machine/tracee/saved_translations.h"
#include "replayer/replayer.h"

namespace heddle {

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
  if (call.given &&
      given(call.number, call.arguments, call.result, guest().memory()) != call.given) {
    Divergence divergence(event.number, task, describe_request(call) + " with the recorded bytes",
                          "other bytes");
    divergence.address = call.arguments[1];
    throw divergence;
  }
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
  keep_translations(image);
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
      current_->signals.call(call.number, task, a, context.registers[Register::rsp], memory,
                             &effects);
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
