// Waiting for children and sending them signals: the part of Children that answers calls.
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "explorer/model/answers.h"
#include "explorer/model/children.h"

namespace heddle::model {

bool Children::selected(const Child& child, const SyscallRequest& request) const {
  const auto& a = request.arguments;
  if (child.state == State::gone || child.owner != owner(request.place.task)) return false;
  if (request.number == SYS_waitid) {
    switch (a[0]) {
      case P_ALL:
        return true;
      case P_PID:
        return child.pid == static_cast<int32_t>(a[1]);
      default:  // P_PGID; P_PIDFD is not answered here
        return a[1] == 0 ? !child.own_group
                         : child.own_group && child.pid == static_cast<int32_t>(a[1]);
    }
  }
  const auto pid = static_cast<int32_t>(a[0]);
  if (pid == -1) return true;
  if (pid > 0) return child.pid == pid;
  return pid == 0 ? !child.own_group : child.own_group && child.pid == -pid;
}

// What the recorded run was told that the child had used.
std::vector<uint8_t> Children::usage(const Child& child) const {
  for (const size_t number : recording_->calls(SYS_wait4)) {
    const event::Syscall& call = recording_->call(number);
    if (!child.program || call.result != child.program->pid) continue;
    for (const MemoryEffect& e : call.effects)
      if (e.address == call.arguments[3] && e.bytes.size() == sizeof(rusage)) return e.bytes;
  }
  return std::vector<uint8_t>(sizeof(rusage));
}

SyscallAnswer Children::waited_for(Child& child, const SyscallRequest& request) {
  const auto& a = request.arguments;
  const bool by_id = request.number == SYS_waitid;
  if (!by_id || !(a[3] & WNOWAIT)) child.state = State::gone;
  std::vector<MemoryEffect> effects;
  if (const uint64_t at = a[by_id ? 4 : 3]; at != 0) effects.push_back({at, usage(child)});
  if (!by_id) {
    if (a[1] != 0) effects.push_back(effect(a[1], child.status));
    return done(child.pid, std::move(effects));
  }
  if (a[2] != 0) {
    const bool killed = WIFSIGNALED(child.status);
    const int32_t code = !killed ? CLD_EXITED : WCOREDUMP(child.status) ? CLD_DUMPED : CLD_KILLED;
    effects.push_back(effect(a[2], std::array<int32_t, 3>{SIGCHLD, 0, code}));
    effects.push_back(effect(
        a[2] + 16,
        std::array<int32_t, 3>{static_cast<int32_t>(child.pid), 0,
                               killed ? WTERMSIG(child.status) : WEXITSTATUS(child.status)}));
  }
  return done(0, std::move(effects));
}

std::optional<SyscallAnswer> Children::attempt_wait(const SyscallRequest& request) {
  const auto& a = request.arguments;
  const bool by_id = request.number == SYS_waitid;
  const uint64_t options = a[by_id ? 3 : 2];
  bool any = false;
  for (auto& [task, child] : children_) {
    if (!selected(child, request)) continue;
    any = true;
    if (child.state == State::zombie && (!by_id || (options & WEXITED)))
      return waited_for(child, request);
  }
  if (!any) return done(-ECHILD);
  if (!(options & WNOHANG)) return std::nullopt;
  std::vector<MemoryEffect> nobody;
  if (by_id && a[2] != 0)
    nobody = {effect(a[2], std::array<int32_t, 3>{}), effect(a[2] + 16, std::array<int32_t, 3>{})};
  return done(0, std::move(nobody));
}

SyscallAnswer Children::wait(const SyscallRequest& request, RunQueue& queue) {
  const auto& a = request.arguments;
  if (request.number == SYS_waitid && a[0] != P_ALL && a[0] != P_PID && a[0] != P_PGID)
    return infeasible("waiting for a process by a descriptor is not modelled");
  if (auto answer = attempt_wait(request)) {
    wake_waiters(queue);
    return std::move(*answer);
  }
  Wait wait;
  wait.what = "a child to end";
  std::erase_if(waiters_, [&](const Waiter& w) { return !queue.waits(w.task, w.number); });
  waiters_.push_back(
      {request.place.task, queue.block(request.place.task, std::move(wait)), request});
  return of_kind(SyscallAnswer::Kind::blocks);
}

// A child is waited for by who runs first, as in the kernel: until then its number is its own.
// Those whose child somebody else has waited for are woken too.
void Children::wake_waiters(RunQueue& queue) {
  for (const Waiter& waiter : waiters_) {
    Children after = *this;
    if (queue.waits(waiter.task, waiter.number) && after.attempt_wait(waiter.request))
      queue.end(waiter.task, done(kMadeAgain));
  }
  std::erase_if(waiters_, [&](const Waiter& w) { return !queue.waits(w.task, w.number); });
}

std::optional<SyscallAnswer> Children::send(int64_t to, int32_t number, RunQueue& queue) {
  if (to > 0) {
    Child* child = with_pid(to);
    if (!child) return std::nullopt;
    if (number < 0 || number > 64) return done(-EINVAL);
    if (child->state != State::gone) return deliver(*child, number, queue);
    if (number != 0)
      misdirected_ = "signal " + std::to_string(number) + " to process " + std::to_string(to) +
                     ", which has been waited for: the number may be another process's";
    return done(-ESRCH);
  }
  // A group: the process's own goes on to the process itself.
  std::optional<SyscallAnswer> answer;
  for (auto& [task, child] : children_) {
    const bool member = to == 0 ? !child.own_group : child.own_group && child.pid == -to;
    if (!member) continue;
    if (child.state == State::gone) {
      if (to != 0 && !answer) answer = done(-ESRCH);
      continue;
    }
    answer = deliver(child, number, queue);
    if (answer->kind == SyscallAnswer::Kind::infeasible) return answer;
  }
  return to == 0 ? std::nullopt : answer;
}

std::optional<SyscallAnswer> Children::call(const SyscallRequest& request, RunQueue& queue) {
  const auto& a = request.arguments;
  switch (request.number) {
    case SYS_wait4:
    case SYS_waitid:
      return wait(request, queue);
    case SYS_kill:
      if (static_cast<int32_t>(a[0]) == -1) return std::nullopt;
      [[fallthrough]];
    case SYS_rt_sigqueueinfo:
    case SYS_tkill:
      return send(static_cast<int32_t>(a[0]), static_cast<int32_t>(a[1]), queue);
    case SYS_tgkill:
      return send(static_cast<int32_t>(a[1]), static_cast<int32_t>(a[2]), queue);
    case SYS_setpgid: {
      Child* child = with_pid(static_cast<int32_t>(a[0]));
      if (!child || child->state == State::gone) return std::nullopt;
      if (a[1] != 0 && static_cast<int32_t>(a[1]) != child->pid) return std::nullopt;
      child->own_group = true;
      return done(0);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace heddle::model
