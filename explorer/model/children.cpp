#include "explorer/model/children.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "explorer/model/answers.h"

namespace heddle::model {
namespace {

using Does = ChildStep::Does;

constexpr uint64_t bit(int32_t signal) {
  return signal < 1 || signal > 64 ? 0 : uint64_t{1} << (signal - 1);
}

// The pointers of an argument or environment list, as texts.
std::optional<std::vector<std::string>> texts_at(uint64_t address, const GuestMemory& memory) {
  std::vector<std::string> texts;
  while (address != 0) {
    const auto at = memory.load<uint64_t>(address);
    if (!at) return std::nullopt;
    if (*at == 0) break;
    auto text = memory.string(*at);
    if (!text) return std::nullopt;
    texts.push_back(std::move(*text));
    address += sizeof(uint64_t);
  }
  return texts;
}

SignalInfo sent_by(int64_t pid, int32_t number) {
  SignalInfo info;
  info.number = number;
  const std::array<int32_t, 5> head{number, 0, SI_USER, 0, static_cast<int32_t>(pid)};
  std::memcpy(info.siginfo.data(), head.data(), sizeof head);
  return info;
}

std::string title(const ChildProgram& program, int64_t pid) {
  return "process " + std::to_string(pid) + " (" + program.path + ")";
}

}  // namespace

Children::Children(std::shared_ptr<const Recording> recording)
    : recording_(std::move(recording)), own_pid_(recording_->children().own_pid()) {}

void Children::add(TaskId task, TaskId parent, int64_t pid, int32_t exit_signal, bool waits,
                   const SignalState& parents) {
  Child child;
  child.task = task;
  child.pid = pid;
  child.parent = waits ? parent : 0;
  child.owner = owner(parent);
  child.signals = parents.forked(parent, task);
  child.exit_signal = exit_signal;
  children_[task] = std::move(child);
}

bool Children::starting(TaskId task) const {
  const auto found = children_.find(task);
  return found != children_.end() && found->second.state == State::starting;
}

bool Children::runs(TaskId task) const {
  const auto found = children_.find(task);
  return found != children_.end() && found->second.state != State::starting;
}

Children::Child* Children::with_pid(int64_t pid) {
  for (auto& [task, child] : children_)
    if (child.pid == pid) return &child;
  return nullptr;
}

const ChildProgram* Children::program_of(const SyscallRequest& request,
                                         const GuestMemory& memory) const {
  const size_t first = request.number == SYS_execveat ? 1 : 0;
  const auto path = memory.string(request.arguments[first]);
  const auto arguments = texts_at(request.arguments[first + 1], memory);
  const auto environment = texts_at(request.arguments[first + 2], memory);
  if (!path || !arguments || !environment) return nullptr;
  for (const ChildProgram& program : recording_->children().programs())
    if (!used_.contains(&program) && program.path == *path && program.arguments == *arguments &&
        program.environment == *environment)
      return &program;
  return nullptr;
}

// What execve of that path came to in the recorded run, where it failed.
std::optional<int64_t> Children::failure_of(const SyscallRequest& request,
                                            const std::string& path) const {
  for (const event::Syscall& call : recording_->children().early_calls()) {
    if (call.number != request.number || call.result >= 0) continue;
    if (call.texts.empty() ? call.arguments == request.arguments : call.texts.front() == path)
      return call.result;
  }
  return std::nullopt;
}

void Children::leave_parent(Child& child, RunQueue& queue) {
  if (child.parent != 0) queue.resume(child.parent);
  child.parent = 0;
}

SyscallAnswer Children::execute(const SyscallRequest& request, const GuestMemory& memory,
                                InputOutput& io, RunQueue& queue) {
  Child& child = children_.at(request.place.task);
  const auto path = memory.string(request.arguments[request.number == SYS_execveat ? 1 : 0]);
  const ChildProgram* program = program_of(request, memory);
  if (!program) {
    if (!path) return done(-EFAULT);
    if (const auto error = failure_of(request, *path)) return done(*error);
    return infeasible("a program that no child executed in the recording: " + *path);
  }
  used_.insert(program);
  child.program = program;
  child.state = State::runs;
  child.signals.executed(child.task);
  for (int32_t signal = 1; signal <= 64; ++signal)
    if (child.signals.action(signal).handler == 1) child.ignores |= bit(signal);
  leave_parent(child, queue);
  io.execute(child.task, queue);
  const uint64_t sent = std::exchange(child.sent, 0);
  for (int32_t signal = 1; signal <= 64; ++signal)
    if (sent & bit(signal))
      if (auto answer = deliver(child, signal, queue);
          answer.kind == SyscallAnswer::Kind::infeasible)
        return answer;
  after_act(child, io, queue);
  return of_kind(SyscallAnswer::Kind::left);
}

void Children::exit(TaskId task, int32_t status, InputOutput& io, Signals& signals,
                    RunQueue& queue) {
  Child& child = children_.at(task);
  leave_parent(child, queue);
  queue.remove(task);
  io.exit(task, queue);
  end(child, status, signals, queue);
}

void Children::end(Child& child, int32_t status, Signals& signals, RunQueue& queue) {
  // Its own children are nobody's that is modelled.
  for (auto& [task, other] : children_)
    if (other.owner == child.task) other.state = State::gone;
  const SignalAction& action =
      (child.owner == 0 ? signals.state() : children_.at(child.owner).signals).action(SIGCHLD);
  const bool unattended = action.handler == 1 || (action.flags & SA_NOCLDWAIT);
  child.state = unattended ? State::gone : State::zombie;
  child.status = status;
  if (child.exit_signal != 0) {
    SignalInfo info;
    info.number = child.exit_signal;
    const bool killed = WIFSIGNALED(status);
    const int32_t code = !killed ? CLD_EXITED : WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
    const std::array<int32_t, 7> head{child.exit_signal,
                                      0,
                                      code,
                                      0,
                                      static_cast<int32_t>(child.pid),
                                      0,
                                      killed ? WTERMSIG(status) : WEXITSTATUS(status)};
    std::memcpy(info.siginfo.data(), head.data(), sizeof head);
    if (child.owner == 0)
      signals.post(0, info, queue);
    else if (starting(child.owner))
      come(children_.at(child.owner), info, queue);
  }
  wake_waiters(queue);
}

int Children::descriptor(const Child& child, const ChildStep& step) {
  const auto found = child.program->descriptors.find(step.object);
  return found == child.program->descriptors.end() ? -1 : found->second;
}

bool Children::can_act(const Child& child, InputOutput& io) {
  if (child.killed_by != 0 && child.state == State::runs) return true;
  if (child.next == child.program->steps.size()) return false;
  const ChildStep& step = child.program->steps[child.next];
  if (step.does == Does::takes) return (child.sent & bit(step.signal)) != 0;
  return !io.child_waits(child.task, step, descriptor(child, step));
}

// What a child is to do next is clear: it can be chosen, or it waits, or it is over.
void Children::after_act(Child& child, InputOutput& io, RunQueue& queue) {
  if (can_act(child, io)) return queue.yield(child.task);
  const bool all = child.next == child.program->steps.size();
  if (all && child.state != State::runs) {
    queue.remove(child.task);
    io.exit(child.task, queue);
    return;
  }
  Wait wait;
  wait.for_outside = all || child.program->steps[child.next].does == Does::takes;
  wait.on_signal = OnSignal::waits_on;
  const char* what = all                                                    ? "its end"
                     : child.program->steps[child.next].does == Does::takes ? "a signal"
                     : child.program->steps[child.next].does == Does::writes
                         ? "a pipe to write to"
                         : "a pipe to read from";
  wait.what = what + (" in " + title(*child.program, child.pid));
  child.waits = queue.block(child.task, std::move(wait));
}

std::string Children::act(TaskId task, InputOutput& io, Signals& signals, RunQueue& queue) {
  Child& child = children_.at(task);
  if (child.waits) {
    queue.collect(task);
    child.waits.reset();
  }
  if (child.killed_by != 0 && child.state == State::runs) {
    // As the recording has it, where it ended so: with a core or without.
    int32_t status = child.killed_by;
    for (const ChildStep& step : child.program->steps)
      if (step.does == Does::ends && WIFSIGNALED(step.status) && WTERMSIG(step.status) == status)
        status = step.status;
    queue.remove(task);
    io.exit(task, queue);
    end(child, status, signals, queue);
    child.next = child.program->steps.size();
    return {};
  }
  std::string infeasible = play(child, io, signals, queue);
  if (infeasible.empty()) after_act(child, io, queue);
  return infeasible;
}

std::string Children::play(Child& child, InputOutput& io, Signals& signals, RunQueue& queue) {
  const auto& steps = child.program->steps;
  // What it does about signals is one act with what follows.
  while (child.next < steps.size() && steps[child.next].does == Does::handles)
    child.handles |= bit(steps[child.next++].signal);
  if (!can_act(child, io)) return {};
  const ChildStep& step = steps[child.next];
  const int file = descriptor(child, step);
  switch (step.does) {
    case Does::reads:
    case Does::writes: {
      auto moved = InputOutput::Moved::waits;
      if (step.does == Does::reads) {
        if (!step.known) return "what a child read is not known: " + child.program->path;
        moved = io.child_reads(child.task, file, step.bytes, queue);
      } else {
        if (!child.half_done) child.unwritten = step.bytes;
        moved = io.child_writes(child.task, file, &child.unwritten, !step.known, queue);
        child.half_done = moved == InputOutput::Moved::waits;
      }
      if (moved == InputOutput::Moved::waits) return {};
      if (moved == InputOutput::Moved::differs)
        return "a child would find something else in a pipe than in the recording: " +
               child.program->path;
      if (moved == InputOutput::Moved::broken) {
        if ((child.ignores | child.handles) & bit(SIGPIPE))
          return "a child would find a pipe closed: " + child.program->path;
        child.killed_by = SIGPIPE;
        return {};
      }
      break;
    }
    case Does::closes:
      io.child_closes(child.task, file, queue);
      break;
    case Does::takes:
      child.sent &= ~bit(step.signal);
      break;
    case Does::sends: {
      signals.post(0, sent_by(child.pid, step.signal), queue);
      break;
    }
    case Does::ends:
      end(child, step.status, signals, queue);
      break;
    case Does::handles:
      break;
  }
  ++child.next;
  return {};
}

void Children::progress(InputOutput& io, RunQueue& queue) {
  for (auto& [task, child] : children_)
    if (child.waits && queue.waits(task, *child.waits) && can_act(child, io))
      queue.end(task, done(0));
}

void Children::signal_itself(TaskId starting, int32_t number) {
  Child& child = children_.at(starting);
  child.signals.post(starting, sent_by(child.pid, number));
}

// To a child that runs the process's code in memory of its own.
void Children::come(Child& child, const SignalInfo& info, RunQueue& queue) {
  const int32_t number = info.number;
  using Disposition = SignalState::Disposition;
  const Disposition disposition = child.signals.disposition(number);
  const bool handled = disposition == Disposition::handle;
  const bool blocked = (child.signals.mask(child.task) & bit(number)) != 0;
  if (!blocked && !handled && disposition != Disposition::terminate &&
      disposition != Disposition::core)
    return;
  child.signals.post(0, info);
  const Wait* wait = blocked ? nullptr : queue.wait_of(child.task);
  if (wait && wait->on_signal != OnSignal::waits_on)
    queue.interrupt(child.task, handled && (child.signals.action(number).flags & SA_RESTART) != 0);
}

SyscallAnswer Children::deliver(Child& child, int32_t number, RunQueue& queue) {
  if (number == 0 || child.state == State::zombie) return done(0);
  if (child.state == State::starting) {
    // One that vfork made blocks signals until it executes a program.
    if (child.parent != 0)
      child.sent |= bit(number);
    else
      come(child, sent_by(own_pid_, number), queue);
    return done(0);
  }
  using Disposition = SignalState::Disposition;
  const auto& steps = child.program->steps;
  size_t next = child.next;
  while (next < steps.size() && steps[next].does == Does::handles) ++next;
  const bool takes =
      next < steps.size() && steps[next].does == Does::takes && steps[next].signal == number;
  const bool kills = number == SIGKILL || !((child.handles | child.ignores) & bit(number));
  const Disposition usual = SignalState::default_of(number);
  if (kills && usual == Disposition::stop)
    return infeasible("a signal that stops a child is not modelled");
  if (kills && (usual == Disposition::terminate || usual == Disposition::core)) {
    if (child.killed_by == 0) child.killed_by = number;
  } else if (child.handles & bit(number)) {
    if (!takes)
      return infeasible(
          "signal " + std::to_string(number) +
          " would come to a child at another time than in the recording: " + child.program->path);
    child.sent |= bit(number);
  } else {
    return done(0);
  }
  if (child.waits && queue.waits(child.task, *child.waits)) queue.end(child.task, done(0));
  return done(0);
}

}  // namespace heddle::model
