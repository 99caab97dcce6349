#include "explorer/model_run.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <iterator>

#include "explorer/kernel_accesses.h"
#include "machine/syscalls/effects.h"
#include "machine/syscalls/table.h"
#include "machine/tracee/guest_code.h"
#include "machine/translator/operand.h"
#include "replayer/divergence.h"

namespace heddle {
namespace {

// How long a task that could run may be held back while others sleep, in virtual ns. A machine can
// do worse, but a program whose time limits are longer than this counts on its not doing so.
constexpr uint64_t kLongestStall = 100'000'000;

constexpr Ticks kRdtscTicks = 10;  // that reading the counter counts for
constexpr uint16_t kSyscallInstruction = 0x050f;
constexpr int64_t kRestart = -512;  // ERESTARTSYS of the kernel (include/linux/errno.h)

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::same:
      return "same";
    case Verdict::failed:
      return "failed";
    case Verdict::changed:
      return "changed";
    case Verdict::deadlock:
      return "deadlock";
    case Verdict::hang:
      return "hang";
    case Verdict::infeasible:
      return "infeasible";
  }
  return "?";
}

CpuidTable cpuid_answers(const std::vector<Event>& recording) {
  CpuidTable table;
  for (const auto& event : recording) {
    const auto* answer = std::get_if<event::Instruction>(&event.body);
    if (!answer || !event.registers ||
        answer->kind != static_cast<uint16_t>(translator::SpecialInstruction::cpuid))
      continue;
    const auto& r = *event.registers;
    table[{static_cast<uint32_t>(r[Register::rax]), static_cast<uint32_t>(r[Register::rcx])}] =
        *answer;
  }
  return table;
}

ModelState ModelState::fork(bool with_events) const {
  return {guest->start_run(),
          kernel,
          current,
          random,
          with_events ? events : std::vector<Event>(),
          ticks,
          points,
          heap,
          block_users};
}

ModelRun::ModelRun(ModelState& state, const CpuidTable& cpuid, RunLimits limits)
    : s_(state), cpuid_(cpuid), limits_(limits) {}

void ModelRun::add(EventBody body, TaskId task) {
  if (!limits_.keep_events) return;
  Event event;
  event.number = s_.events.size() + 1;  // after the Exec event
  event.time_ns = s_.kernel.now_ns();
  event.place = s_.guest->task(task).place();
  event.registers = s_.guest->task(task).registers;
  event.body = std::move(body);
  s_.events.push_back(std::move(event));
}

void ModelRun::end(Verdict verdict, std::string reason, int status) {
  ended_ = true;
  outcome_.verdict = verdict;
  outcome_.reason = std::move(reason);
  outcome_.status = status;
}

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
  if (answer.kind == SyscallAnswer::Kind::perform) call.file = s_.kernel.file_of(request);
  if (limits_.keep_points && !interrupted) note_call(task, call);
  add(std::move(call), task);
}

// What the kernel touched for a call that is over.
void ModelRun::note_call(TaskId task, const event::Syscall& call) {
  ModelGuest& guest = *s_.guest;
  for (const KernelAccess& access : kernel_accesses(call, guest.memory())) {
    PassedPoint point;
    point.place = guest.task(task).place();
    point.address = access.address;
    point.size = static_cast<uint32_t>(access.size);
    point.writes = access.kind != AccessKind::read;
    point.by_call = static_cast<uint16_t>(1 + call.number);
    outcome_.points.push_back(point);
    if (limits_.at_point) limits_.at_point(guest, task, outcome_.points.size() - 1);
  }
}

bool ModelRun::stops_before_call(TaskId task, const Place& at) {
  if (!s_.points || !s_.points->contains(at.pc)) return false;
  Place& asked = asked_[task];
  if (asked == at) return false;
  asked = at;
  return true;
}

ModelRun::Step ModelRun::syscall(TaskId task) {
  ModelGuest& guest = *s_.guest;
  const SyscallRequest request = guest.request(task);
  if (start_signals_) {
    const bool installs = request.number == SYS_rt_sigaction && request.arguments[1] != 0 &&
                          start_signals_->contains(static_cast<int32_t>(request.arguments[0]));
    if (installs || clone_arguments(request.number, request.arguments, guest.memory()))
      return Step::at_start;
  }
  SyscallAnswer answer = s_.kernel.answer(request, guest.memory());
  switch (answer.kind) {
    case SyscallAnswer::Kind::done:
      finish_call(task, request, answer, false);
      if (request.number == SYS_arch_prctl && request.arguments[0] == 0x1002 && answer.result == 0)
        guest.task(task).registers[Register::fs_base] = request.arguments[1];
      guest.apply(answer.effects);
      guest.complete(task, answer.result);
      if (request.number == SYS_sched_yield) turn_over_ = true;
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
        attempt.result = kRestart;
        finish_call(task, request, attempt, true);
        guest.apply(attempt.effects);
        guest.task(task).restart_call();
      }
      // What the task did up to this call comes before what others do while it waits in it.
      add(event::Switch{0}, task);
      waiting_[task] = request;
      return Step::blocked;
    case SyscallAnswer::Kind::new_task:
      finish_call(task, request, answer, false);
      guest.add_task(task, answer.child, request);
      guest.apply(answer.effects);
      guest.complete(task, answer.result);
      return Step::goes_on;
    case SyscallAnswer::Kind::task_exit:
      add(event::TaskExit{answer.status, answer.effects}, task);
      guest.apply(answer.effects);
      guest.remove_task(task);
      return Step::blocked;
    case SyscallAnswer::Kind::process_exit:
      add(event::ProcessExit{answer.status}, task);
      end(Verdict::same, {}, answer.status);
      return Step::ended;
    case SyscallAnswer::Kind::sigreturn:
      finish_call(task, request, answer, false);
      if (!guest.pop_frame(task, s_.kernel.signals())) {
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

ModelRun::Step ModelRun::special(TaskId task, const translator::ExitSite& site) {
  ModelGuest& guest = *s_.guest;
  auto& r = guest.task(task).registers;
  event::Instruction a;
  a.kind = static_cast<uint16_t>(site.special);
  a.rax = r[Register::rax];
  a.rbx = r[Register::rbx];
  a.rcx = r[Register::rcx];
  a.rdx = r[Register::rdx];
  a.rflags = r[Register::rflags];
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
      auto it = cpuid_.find({leaf, subleaf});
      if (it == cpuid_.end()) it = cpuid_.lower_bound({leaf, 0});
      if (it == cpuid_.end() || it->first.first != leaf) {
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
  auto& signals = s_.kernel.signals();
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
  add(event::ProcessExit{e.number}, task);
  end(Verdict::failed, "fatal signal " + std::to_string(e.number), e.number);
}

ModelRun::Step ModelRun::fault(TaskId task, const siginfo_t& info) {
  auto& signals = s_.kernel.signals();
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
  add(event::ProcessExit{e.number}, task);
  end(Verdict::failed, "fatal signal " + std::to_string(e.number), e.number);
  return Step::ended;
}

// What is due before a task's code may go on: the end of its blocked call, and its signals.
ModelRun::Step ModelRun::settle_before_running(TaskId task) {
  ModelGuest& guest = *s_.guest;
  const auto waiting = waiting_.find(task);
  if (waiting != waiting_.end()) {
    const SyscallAnswer answer = s_.kernel.collect(task);
    const bool again = answer.result == kRestart;
    finish_call(task, waiting->second, answer, again);
    waiting_.erase(waiting);
    if (!again) {
      guest.apply(answer.effects);
      guest.complete(task, answer.result);
    } else {
      guest.task(task).restart_call();
    }
  }
  while (!ended_) {
    const auto info = s_.kernel.take_signal(task);
    if (!info) break;
    deliver(task, *info);
  }
  return ended_ ? Step::ended : Step::goes_on;
}

void ModelRun::note_switch(TaskId next) {
  const bool runnable = situation_.current_runnable;
  if (runnable && next != s_.current) {
    add(event::Switch{next}, s_.current);
    if (limits_.keep_events) s_.events.back().registers.reset();
  }
  if (next != standard_ || placed_ != 0)
    outcome_.schedule.steps.push_back({situation_.at, next, placed_});
  placed_ = 0;
  if (next != s_.current || turn_over_) turn_ = 0;
  turn_over_ = false;
  s_.current = next;
}

bool ModelRun::place_signal(int32_t number) {
  if (!s_.kernel.place_signal(number, situation_.at.task)) return false;
  placed_ = number;
  list_runnable();
  return true;
}

void ModelRun::pass_point(TaskId task) {
  if (!s_.heap) return;
  const auto node = pending_.extract(task);
  if (node.empty()) return;
  const Pending& point = node.mapped();
  const TaskContext& context = s_.guest->task(task);
  if (context.place() != point.place) return;
  passed_[task] = point.place;
  const auto found = [&](const std::string& what, uint64_t address,
                         const HeapBlocks::Block& block) {
    end(Verdict::failed, what + ": thread " + std::to_string(task) + ", byte " +
                             std::to_string(address - block.address) + " of a freed block of " +
                             std::to_string(block.size) + " bytes");
  };
  if (const auto argument = s_.heap->argument(point.place.pc)) {
    LogEntry entry;
    entry.pc = point.place.pc;
    entry.address = context.registers[*argument];
    const auto change = s_.heap->called(task, entry);
    if (change.twice) found("double free", change.freed->address, *change.freed);
    return;
  }
  if (!s_.block_users->contains(point.place.pc)) return;
  for (const Touch& touch : point.touches)
    if (const auto block = s_.heap->freed_at(touch.address))
      return found("use after free", touch.address, *block);
}

void ModelRun::note_point(TaskId task) {
  ModelGuest& guest = *s_.guest;
  touches_.clear();
  bool updates = false;
  for (const auto& operand :
       translator::memory_operands(GuestCode(guest.memory()), guest.task(task).registers)) {
    touches_.insert(touches_.begin(),
                    {operand.address, operand.size, operand.kind != AccessKind::read});
    updates = operand.kind == AccessKind::update;
  }
  const Place place = guest.task(task).place();
  const bool calls = guest.memory().load<uint16_t>(place.pc) == kSyscallInstruction;
  if (calls)
    for (const KernelAccess& access : coming_accesses(guest.request(task), guest.memory()))
      touches_.push_back({access.address, access.size, access.kind != AccessKind::read});
  if (s_.heap) {
    const auto argument = s_.heap->argument(place.pc);
    if (argument) {
      touches_.clear();
      const auto block = s_.heap->to_free(place.pc, guest.task(task).registers[*argument]);
      if (block) touches_.push_back({block->address, block->size, true});
    }
    // A schedule's step may stop in front of a point, which then stops there once more.
    if (passed_[task] != place) pending_[task] = {place, touches_};
  }
  const Touch first = touches_.empty() ? Touch{} : touches_.front();
  situation_.address = first.address;
  situation_.size = static_cast<uint32_t>(first.size);
  situation_.writes = first.writes;
  situation_.touches = touches_;
  if (!limits_.keep_points) return;
  // A schedule's step may stop where a point has just done so.
  if (!outcome_.points.empty() && outcome_.points.back().place == place) return;
  outcome_.points.emplace_back().place = place;
  if (!calls) {
    // A call's accesses are noted when it is over.
    PassedPoint& point = outcome_.points.back();
    point.address = situation_.address;
    point.size = situation_.size;
    point.writes = situation_.writes;
    point.updates = updates;
    if (s_.heap && s_.heap->watches(place.pc)) point.by_call = kFreed;
  }
  for (const TaskId other : runnable_)
    if (other != task) outcome_.points.back().others.push_back(other);
  if (limits_.at_point) limits_.at_point(guest, task, outcome_.points.size() - 1);
}

bool ModelRun::find_runnable() {
  runnable_ = s_.kernel.runnable();
  while (runnable_.empty()) {
    if (!s_.kernel.advance_time()) {
      if (s_.kernel.waits_for_outside())
        end(Verdict::infeasible,
            "only the outside could go on: " + s_.kernel.deadlock_description(s_.guest->memory()));
      else
        end(Verdict::deadlock, s_.kernel.deadlock_description(s_.guest->memory()));
      return false;
    }
    runnable_ = s_.kernel.runnable();
  }
  list_runnable();
  return true;
}

void ModelRun::list_runnable() {
  runnable_ = s_.kernel.runnable();
  situation_.current_runnable = std::ranges::count(runnable_, s_.current) > 0;
  standard_ = situation_.current_runnable && !turn_over_ ? s_.current : runnable_.front();
  situation_.ready = runnable_.size();
  // Time may pass while a runnable task is held back: sleepers can be chosen too.
  std::ranges::copy(s_.kernel.sleepers(kLongestStall), std::back_inserter(runnable_));
  situation_.runnable = runnable_;
  signals_ = s_.kernel.outside_signals(kLongestStall);
  situation_.signals = signals_;
  interrupted_.clear();
  for (const TaskId task : s_.kernel.runnable())
    if (s_.kernel.signals().deliverable(task)) interrupted_.push_back(task);
  situation_.interrupted = interrupted_;
}

Ticks ModelRun::most_ticks() const {
  const Ticks left = kTurn - std::min(turn_, kTurn - 1);
  if (s_.kernel.runnable().size() > 1) return left;
  // Alone, it may spin until a time comes.
  return std::min(left, std::max<Ticks>(s_.kernel.next_due() - s_.kernel.now_ns(), 1));
}

// The loop of every kind of run: `choose` names the next task among runnable_, `execute` runs it to
// an Exit.
void ModelRun::loop(const std::function<TaskId()>& choose,
                    const std::function<Exit(TaskId)>& execute) {
  ModelGuest& guest = *s_.guest;
  uint64_t decisions = 0;
  while (!ended_) {
    if (!find_runnable()) break;
    if (++decisions > limits_.decisions || s_.ticks > limits_.ticks) {
      end(Verdict::hang, "the program did not end within the limits of a run");
      break;
    }
    const TaskId next = choose();
    if (ended_) break;
    if (std::ranges::count(runnable_, next) == 0)
      throw std::logic_error("a strategy chose a task that cannot run");
    note_switch(next);
    s_.kernel.advance_to(next);
    const TaskId task = s_.current;
    if (settle_before_running(task) != Step::goes_on) break;
    pass_point(task);
    if (ended_) break;

    const Ticks before = guest.task(task).ticks;
    const Exit exit = execute(task);
    const Place after = guest.task(task).place();
    s_.kernel.ran(after.ticks - before);
    s_.ticks += after.ticks - before;
    const bool asks = exit.kind == Exit::Kind::syscall && stops_before_call(task, after);
    const bool calls =
        !asks && (exit.kind == Exit::Kind::syscall || exit.kind == Exit::Kind::special);
    turn_ += after.ticks - before + (calls ? kCallOfTurn : 0);
    if (turn_ >= kTurn) {
      turn_over_ = true;
      s_.kernel.preempt(task);
    }
    situation_.at = after;
    Step step = Step::goes_on;
    // A signal that came meanwhile is taken before the call is made.
    if (calls && exit.kind == Exit::Kind::syscall && s_.kernel.signals().deliverable(task)) {
      situation_.why = DecisionPoint::budget;
      continue;
    }
    if (asks) {
      situation_.why = DecisionPoint::access;
      note_point(task);
      continue;
    }
    switch (exit.kind) {
      case Exit::Kind::stop:
        asked_[task] = after;
        if (limits_.keep_points || s_.heap) note_point(task);
        [[fallthrough]];
      case Exit::Kind::budget:
        situation_.why = DecisionPoint::budget;
        continue;
      case Exit::Kind::point:
        situation_.why = DecisionPoint::access;
        note_point(task);
        if (after.phase == 0) held_[task] = after;
        continue;
      case Exit::Kind::syscall:
        step = syscall(task);
        break;
      case Exit::Kind::special:
        step = special(task, *exit.site);
        break;
      case Exit::Kind::fault:
        step = fault(task, exit.info);
        break;
      default:
        throw std::runtime_error("the explored process ended from outside");
    }
    if (step == Step::at_start) return;
    if (ended_) break;
    situation_.why = step == Step::blocked ? DecisionPoint::blocked : DecisionPoint::syscall;
    if (step == Step::blocked) {
      situation_.at.phase = 2;
      turn_ = 0;
      turn_over_ = false;
    } else {
      situation_.at = guest.task(task).place();
    }
  }
}

RunOutcome ModelRun::result() {
  outcome_.output = s_.kernel.output(1);
  outcome_.error = s_.kernel.output(2);
  outcome_.ticks = s_.ticks;
  outcome_.events = std::move(s_.events);
  return std::move(outcome_);
}

RunOutcome ModelRun::run(Scheduler& scheduler) {
  ModelGuest& guest = *s_.guest;
  situation_.why = DecisionPoint::syscall;
  situation_.at = guest.task(s_.current).place();
  Ticks budget = 1;
  loop(
      [&] {
        const Decision decision = scheduler.decide(situation_);
        budget = std::max<Ticks>(decision.ticks, 1);
        if (decision.signal != 0) place_signal(decision.signal);
        return decision.next;
      },
      [&](TaskId task) {
        // A task left in front of its access must perform it now rather than stop there again.
        const auto held = held_.find(task);
        const bool in_front = held != held_.end() && held->second == guest.task(task).place();
        if (held != held_.end()) held_.erase(held);
        return guest.run(task, std::min(budget, most_ticks()), in_front ? 2 : 1);
      });
  return result();
}

RunOutcome ModelRun::follow(const Schedule& schedule) {
  ModelGuest& guest = *s_.guest;
  situation_.at = guest.task(s_.current).place();
  size_t step = 0;
  const auto& steps = schedule.steps;
  loop(
      [&] {
        TaskId next = standard_;
        if (step == steps.size()) return next;
        const Place& at = steps[step].at;
        if (at == situation_.at) {
          next = steps[step++].next;
          outcome_.points_before_step.push_back(outcome_.points.size());
          if (const int32_t signal = steps[step - 1].signal; signal != 0 && !place_signal(signal))
            end(Verdict::infeasible, "step " + std::to_string(step) +
                                         " of the schedule names a signal that is not to come");
          if (std::ranges::count(runnable_, next) == 0)
            end(Verdict::infeasible, "step " + std::to_string(step) +
                                         " of the schedule names a task that cannot run there");
        } else if (at.task == situation_.at.task && at.ticks < situation_.at.ticks) {
          end(Verdict::infeasible,
              "step " + std::to_string(step + 1) + " of the schedule is not reached");
        }
        return next;
      },
      [&](TaskId task) {
        const uint64_t points = limits_.keep_points || s_.heap ? 1 : GuestCpu::kUnlimited;
        const auto held = held_.find(task);
        const bool in_front = held != held_.end() && held->second == guest.task(task).place();
        if (held != held_.end()) held_.erase(held);
        const auto run = [&](Ticks budget) {
          return guest.run(task, std::min(budget, most_ticks()),
                           in_front && points == 1 ? 2 : points);
        };
        if (step == steps.size() || steps[step].at.task != task) return run(limits_.ticks);
        const Place& at = steps[step].at;
        const Ticks now = guest.task(task).ticks;
        if (at.ticks > now) return run(at.ticks - now);
        if (at.ticks < now || at.phase == 2) return run(limits_.ticks);
        if (const auto exit = guest.run_to(at)) return *exit;
        Exit there;
        there.kind = Exit::Kind::stop;
        return there;
      });
  if (!ended_ || outcome_.verdict != Verdict::infeasible) {
    if (step < steps.size() && outcome_.verdict != Verdict::hang) {
      outcome_.verdict = Verdict::infeasible;
      outcome_.reason =
          "the program ended before step " + std::to_string(step + 1) + " of the schedule";
    }
  }
  return result();
}

bool ModelRun::run_to_start(const std::set<int32_t>& signals) {
  situation_.at = s_.guest->task(s_.current).place();
  start_signals_ = &signals;
  loop([&] { return standard_; }, [&](TaskId task) { return s_.guest->run(task, most_ticks()); });
  start_signals_ = nullptr;
  return !ended_;
}

}  // namespace heddle
