// What a run does for its tasks at system calls, special instructions, faults and signals.
#include <sched.h>
#include <sys/syscall.h>

#include <cstring>

#include "explorer/model_run.h"
#include "machine/syscalls/effects.h"
#include "machine/syscalls/table.h"
#include "machine/tracee/cpu_features.h"

namespace heddle {
namespace {

constexpr Ticks kRdtscTicks = 10;  // that reading the counter counts for

}  // namespace

void ModelRun::finish_call(TaskId task, const SyscallRequest& request, const SyscallAnswer& answer,
                           bool interrupted) {
  if (!limits_.keep_events) return;
  event::Syscall call;
  call.number = static_cast<uint32_t>(request.number);
  call.arguments = request.arguments;
  call.result = answer.result;
  call.effects = answer.effects;
  call.interrupted = interrupted;
  call.child = answer.kind == SyscallAnswer::Kind::new_task ? answer.child : 0;
  call.makes_process = answer.makes_process;
  if (answer.kind == SyscallAnswer::Kind::perform) call.file = s_.kernel.file_of(request);
  if (limits_.keep_points && !interrupted && s_.kernel.own(task)) note_call(task, call);
  add(std::move(call), task);
}

ModelRun::Step ModelRun::syscall(TaskId task) {
  ModelGuest& guest = *s_.guest;
  const SyscallRequest request = guest.request(task);
  if (is_start_ && (*is_start_)(task, request)) return Step::at_start;
  const Fault fault = take_fault(task, request.place);
  SyscallAnswer answer = s_.kernel.answer(request, guest.memory(task), fault);
  if (fault.kind != FaultKind::none)
    outcome_.faults.push_back({request.place, fault, request.number, answer.result});
  switch (answer.kind) {
    case SyscallAnswer::Kind::done:
      finish_call(task, request, answer, false);
      if (request.number == SYS_arch_prctl && request.arguments[0] == 0x1002 && answer.result == 0)
        guest.task(task).registers[Register::fs_base] = request.arguments[1];
      guest.apply(task, answer.effects);
      guest.complete(task, answer.result);
      if (request.number == SYS_sched_yield) turn_over_ = true;
      if (const std::string what = s_.kernel.take_misdirected(); !what.empty()) {
        end(Verdict::failed, std::string(kMisdirected) + ": " + what);
        return Step::ended;
      }
      return Step::goes_on;
    case SyscallAnswer::Kind::perform: {
      const bool placed = answer.result != 0;
      answer.result = guest.perform(request, placed ? std::optional(answer.result) : std::nullopt,
                                    s_.kernel.file_of(request));
      finish_call(task, request, answer, false);
      guest.complete(task, answer.result);
      return Step::goes_on;
    }
    case SyscallAnswer::Kind::blocks:
      if (!answer.effects.empty()) {
        // The kernel writes before it waits: an attempt of its own, then the call is made again.
        SyscallAnswer attempt = answer;
        attempt.result = model::kMadeAgain;
        finish_call(task, request, attempt, true);
        guest.apply(task, attempt.effects);
        guest.task(task).restart_call();
      }
      if (limits_.keep_points) note_signal_call(task, request.number, request.arguments);
      // What the task did up to this call comes before what others do while it waits in it.
      add(event::Switch{0}, task);
      waiting_[task] = request;
      return Step::blocked;
    case SyscallAnswer::Kind::new_task:
      finish_call(task, request, answer, false);
      if (s_.kernel.forked(answer.child))
        fork(task, answer, request);
      else
        guest.add_task(task, answer.child, request);
      guest.apply(task, answer.effects);
      guest.complete(task, answer.result);
      return Step::goes_on;
    case SyscallAnswer::Kind::task_exit:
      add(event::TaskExit{answer.status, answer.effects}, task);
      guest.apply(task, answer.effects);
      guest.remove_task(task);
      return Step::blocked;
    case SyscallAnswer::Kind::process_exit:
      add(event::ProcessExit{answer.status}, task);
      end(Verdict::same, {}, answer.status);
      return Step::ended;
    case SyscallAnswer::Kind::child_exit:
      add(event::ProcessExit{answer.status}, task);
      guest.remove_task(task);
      return Step::blocked;
    case SyscallAnswer::Kind::left: {
      finish_call(task, request, answer, false);
      add(event::Released{"a child's program is not part of this run"}, task);
      const Place place = request.place;
      guest.remove_task(task);
      acts_[task] = place;
      return Step::blocked;
    }
    case SyscallAnswer::Kind::sigreturn:
      finish_call(task, request, answer, false);
      if (!guest.pop_frame(task, s_.kernel.signals(task))) {
        end(Verdict::failed, "rt_sigreturn without a readable frame", SIGSEGV);
        return Step::ended;
      }
      return Step::goes_on;
    case SyscallAnswer::Kind::infeasible: {
      const auto* known = find(request.number);
      end(Verdict::infeasible, answer.reason.empty()
                                   ? std::string("system call ") + (known ? known->name : "?")
                                   : answer.reason);
      return Step::infeasible;
    }
  }
  throw std::logic_error("an answer of no kind");
}

Fault ModelRun::take_fault(TaskId task, const Place& place) {
  const auto armed = armed_.find(task);
  if (armed == armed_.end() || armed->second.first != place) return {};
  const Fault fault = armed->second.second;
  armed_.erase(armed);
  return fault;
}

ModelRun::Step ModelRun::special(TaskId task, const translator::ExitSite& site) {
  ModelGuest& guest = *s_.guest;
  auto& r = guest.task(task).registers;
  event::Instruction a = pending_instruction(site, r);
  using translator::SpecialInstruction;
  switch (site.special) {
    case SpecialInstruction::rdtsc:
    case SpecialInstruction::rdtscp: {
      s_.kernel.ran(kRdtscTicks);  // never the same twice
      const uint64_t now = s_.kernel.now_ns();
      a.rax = now & 0xffffffff;
      a.rdx = now >> 32;
      if (site.special == SpecialInstruction::rdtscp) a.rcx = 0;
      break;
    }
    case SpecialInstruction::cpuid: {
      const auto leaf = static_cast<uint32_t>(a.rax), subleaf = static_cast<uint32_t>(a.rcx);
      if (const auto* shown = find_answer(cpuid_.shown, leaf, subleaf)) {
        a.rax = shown->eax;
        a.rbx = shown->ebx;
        a.rcx = shown->ecx;
        a.rdx = shown->edx;
        guest.complete(task, a, site.length);
        return Step::goes_on;
      }
      const auto& recorded = cpuid_.recorded;
      auto it = recorded.find({leaf, subleaf});
      if (it == recorded.end()) it = recorded.lower_bound({leaf, 0});
      if (it == recorded.end() || it->first.first != leaf) {
        end(Verdict::infeasible, "cpuid leaf " + std::to_string(leaf) + " was not recorded");
        return Step::infeasible;
      }
      a.rax = it->second.rax;
      a.rbx = it->second.rbx;
      a.rcx = it->second.rcx;
      a.rdx = it->second.rdx;
      break;
    }
    case SpecialInstruction::xgetbv:
      a.rax = 7;
      a.rdx = 0;
      break;
    default:
      end(Verdict::infeasible, "rdrand, rdseed and rdpid are not modelled");
      return Step::infeasible;
  }
  add(a, task);
  guest.complete(task, a, site.length);
  return Step::goes_on;
}

void ModelRun::deliver(TaskId task, const SignalInfo& info) {
  ModelGuest& guest = *s_.guest;
  auto& signals = s_.kernel.signals(task);
  event::Signal e;
  e.number = info.number;
  e.siginfo = info.siginfo;
  const auto disposition = signals.disposition(info.number);
  if (disposition == SignalState::Disposition::handle) {
    add(e, task);
    if (guest.push_frame(task, signals, info, s_.kernel.take_saved_mask(task))) return;
    e.number = SIGSEGV;
  } else if (disposition != SignalState::Disposition::terminate &&
             disposition != SignalState::Disposition::core) {
    return;
  }
  e.fatal = true;
  add(e, task);
  if (!s_.kernel.own(task)) return end_child(task, e.number);
  add(event::ProcessExit{e.number}, task);
  end(Verdict::failed, "fatal signal " + std::to_string(e.number), e.number);
}

ModelRun::Step ModelRun::fault(TaskId task, const siginfo_t& info) {
  auto& signals = s_.kernel.signals(task);
  event::Signal e;
  e.number = info.si_signo;
  e.synchronous = true;
  std::memcpy(e.siginfo.data(), &info, e.siginfo.size());
  const bool handled = signals.disposition(e.number) == SignalState::Disposition::handle &&
                       !(signals.mask(task) >> (e.number - 1) & 1);
  if (handled) {
    add(e, task);
    if (s_.guest->push_frame(task, signals, {e.number, e.siginfo})) return Step::goes_on;
  }
  e.fatal = true;
  add(e, task);
  if (!s_.kernel.own(task)) {
    end_child(task, e.number);
    return Step::blocked;
  }
  add(event::ProcessExit{e.number}, task);
  end(Verdict::failed, "fatal signal " + std::to_string(e.number), e.number);
  return Step::ended;
}

// The child's number goes to its own memory only.
void ModelRun::fork(TaskId parent, const SyscallAnswer& answer, const SyscallRequest& request) {
  ModelGuest& guest = *s_.guest;
  guest.fork_task(parent, answer.child, request);
  const auto wanted = clone_arguments(request.number, request.arguments, guest.memory(parent));
  if (wanted->flags & CLONE_CHILD_SETTID)
    guest.memory(answer.child).store(wanted->child_tid, static_cast<uint32_t>(answer.result));
}

// A signal ends a child that runs the program's code: not the run.
void ModelRun::end_child(TaskId child, int32_t signal) {
  situation_.at = s_.guest->task(child).place();
  situation_.at.phase = 2;
  add(event::ProcessExit{signal}, child);
  s_.kernel.child_killed(child, signal);
  s_.guest->remove_task(child);
}

void ModelRun::act(TaskId child) {
  const std::string reason = s_.kernel.act(child);
  if (!reason.empty()) return end(Verdict::infeasible, reason);
  // Its places are counted in acts from its execve on.
  Place& at = acts_[child];
  ++at.ticks;
  situation_.why = DecisionPoint::syscall;
  situation_.at = at;
  situation_.call = 0;
  situation_.faults = {};
  situation_.touches = {};
  situation_.address = situation_.size = 0;
  turn_over_ = true;
}

// What is due before a task's code may go on: the end of its blocked call, and its signals.
ModelRun::Step ModelRun::settle_before_running(TaskId task) {
  ModelGuest& guest = *s_.guest;
  const auto waiting = waiting_.find(task);
  if (waiting != waiting_.end()) {
    const SyscallAnswer answer = s_.kernel.collect(task);
    const bool again = answer.result == model::kMadeAgain;
    finish_call(task, waiting->second, answer, again);
    waiting_.erase(waiting);
    if (!again) {
      guest.apply(task, answer.effects);
      guest.complete(task, answer.result);
    } else {
      guest.task(task).restart_call();
    }
  }
  while (!ended_) {
    const auto info = s_.kernel.take_signal(task);
    if (!info) break;
    deliver(task, *info);
    if (!s_.kernel.own(task) && !s_.kernel.starting(task)) return Step::blocked;
  }
  return ended_ ? Step::ended : Step::goes_on;
}

}  // namespace heddle
