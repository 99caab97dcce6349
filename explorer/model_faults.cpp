// Faults of system calls: the part of ModelKernel that ends calls otherwise than usual.
#include <errno.h>
#include <signal.h>

#include <algorithm>

#include "explorer/model/answers.h"
#include "explorer/model/faults.h"
#include "explorer/model_kernel.h"

namespace heddle {
namespace {

constexpr uint32_t kMostChoices = 4;  // of who is woken first

}  // namespace

bool ModelKernel::interrupts_calls() const {
  const SignalState& state = signals_.state();
  for (int32_t number = 1; number <= 64; ++number)
    if (state.disposition(number) == SignalState::Disposition::handle &&
        !(state.action(number).flags & SA_RESTART))
      return true;
  return false;
}

std::vector<Fault> ModelKernel::faults(const SyscallRequest& request,
                                       const GuestMemory& memory) const {
  std::vector<Fault> faults = model::memory_faults(request);
  ModelKernel after = *this;
  const auto waiters = after.futexes_.choice(request, after.queue_);
  for (uint32_t number = 1; number < std::min(waiters, kMostChoices); ++number)
    faults.push_back({FaultKind::wake_choice, number});
  const model::Recording& recording = *recording_;
  const bool from_outside = model::waits_outside(request.number) &&
                            (!model::descriptor_argument(request) ||
                             after.input_output_.reads_stream(request, recording));
  if (from_outside && interrupts_calls()) faults.push_back({FaultKind::interrupted, 0});
  const auto shorter = model::short_transfers(request, memory);
  const bool divides = !shorter.empty() && after.input_output_.divides(request, recording);

  // Does it wait, does it move anything? That depends on all there is.
  const SyscallAnswer usual = after.answer(request, memory);
  if (usual.kind == SyscallAnswer::Kind::blocks) {
    const model::Wait* wait = after.queue_.wait_of(request.place.task);
    const bool notices =
        wait && (wait->on_signal == model::OnSignal::interrupts ||
                 (wait->on_signal == model::OnSignal::restarts && interrupts_calls()));
    if (notices && !from_outside) faults.push_back({FaultKind::interrupted, 0});
  }
  if (usual.kind != SyscallAnswer::Kind::done || usual.result <= 0) return faults;
  for (const Fault& fault : shorter)
    if (divides && fault.argument < usual.result) faults.push_back(fault);
  ModelKernel later = *this;
  if (later.input_output_.late(request, memory, later.queue_))
    faults.push_back({FaultKind::late, 0});
  return faults;
}

SyscallAnswer ModelKernel::answer(const SyscallRequest& request, const GuestMemory& memory,
                                  const Fault& fault) {
  if (fault.kind == FaultKind::none) return answer(request, memory);
  if (std::ranges::count(faults(request, memory), fault) == 0)
    return model::infeasible("the fault " + fault_text(fault) + " cannot happen in that call");
  switch (fault.kind) {
    case FaultKind::no_memory:
      return model::without_memory(request);
    case FaultKind::short_transfer:
      return answer(model::shortened(request, fault), memory);
    case FaultKind::late:
      return *input_output_.late(request, memory, queue_);
    case FaultKind::wake_choice:
      futexes_.bring_forward(request.arguments[0], fault.argument);
      return answer(request, memory);
    case FaultKind::interrupted:
    case FaultKind::none:
      break;
  }
  if (model::waits_outside(request.number) &&
      (!model::descriptor_argument(request) || input_output_.reads_stream(request, *recording_)))
    return model::done(-EINTR);
  SyscallAnswer waits = answer(request, memory);
  queue_.interrupt(request.place.task, false);
  return waits;
}

}  // namespace heddle
