#include <spdlog/spdlog.h>

#include <cstring>

#include "recorder/recorder.h"

namespace heddle {
namespace {

constexpr uint64_t bit(int signal) {
  return uint64_t{1} << (signal - 1);
}
// Never blocked for real: a blocked synchronous signal would kill the program.
constexpr uint64_t kSynchronous =
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP);

SignalInfo from(const siginfo_t& info) {
  SignalInfo out;
  out.number = info.si_signo;
  std::memcpy(out.siginfo.data(), &info, out.siginfo.size());
  return out;
}

}  // namespace

void Recorder::post(Task& task, const siginfo_t& info) {
  task.signals().post(task.id, from(info));
}

void Recorder::mirror_mask(Task& task) {
  task.cpu->thread().set_signal_mask(task.signals().mask(task.id) & ~kSynchronous);
}

bool Recorder::push_frame(Task& task, const SignalInfo& info) {
  const auto action = task.signals().action(info.number);
  const uint64_t mask = task.signals().mask(task.id);
  const FrameRequest request{info, action, task.saved_mask.value_or(mask),
                             task.signals().alternate_stack(task.id)};
  task.saved_mask.reset();
  auto& thread = task.cpu->thread();
  auto state = canonical_state(thread.extended_state());
  if (!push_signal_frame(task.memory(), task.context.registers, state, request, nullptr))
    return false;
  task.signals().set_mask(task.id, mask_in_handler(mask, action, info.number));
  if (action.flags & SA_RESETHAND) {
    auto reset = action;
    reset.handler = 0;
    task.signals().set_action(info.number, reset);
  }
  mirror_mask(task);
  return true;
}

void Recorder::deliver_pending(Task& task) {
  while (!ended_ && task.state == State::ready) {
    const auto info = task.signals().take(task.id);
    if (!info) return;
    event::Signal e{info->number, false, false, info->siginfo};
    spdlog::debug("task {} takes signal {}", task.id, info->number);
    switch (task.signals().disposition(info->number)) {
      case SignalState::Disposition::ignore:
      case SignalState::Disposition::resume:
      case SignalState::Disposition::stop:
        continue;
      case SignalState::Disposition::handle:
        append(task, e);
        if (push_frame(task, *info)) continue;
        e.number = SIGSEGV;
        [[fallthrough]];
      default:
        e.fatal = true;
        append(task, e);
        end_process(task, e.number, e.number);
        return;
    }
  }
}

void Recorder::fault(Task& task, const siginfo_t& info) {
  const SignalInfo raised = from(info);
  event::Signal e{raised.number, true, false, raised.siginfo};
  const bool blocked = task.signals().mask(task.id) & bit(raised.number);
  if (task.signals().disposition(raised.number) == SignalState::Disposition::handle && !blocked) {
    append(task, e);
    if (push_frame(task, raised)) return;
  }
  e.fatal = true;
  append(task, e);
  end_process(task, e.number, e.number);
}

}  // namespace heddle
