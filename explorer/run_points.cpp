// Access points of a run: what a task is about to touch there, and what that does to the heap.
#include "explorer/kernel_accesses.h"
#include "explorer/model_run.h"
#include "explorer/signal_accesses.h"
#include "machine/tracee/guest_code.h"
#include "machine/translator/operand.h"

namespace heddle {
namespace {

constexpr uint16_t kSyscallInstruction = 0x050f;

}  // namespace

// What the kernel touched for a call that is over.
void ModelRun::note_call(TaskId task, const event::Syscall& call) {
  note_accesses(task, call.number, kernel_accesses(call, s_.guest->memory(task)));
  // A call that waited was noted when it began to.
  if (!waiting_.contains(task)) note_signal_call(task, call.number, call.arguments);
}

std::vector<KernelAccess> ModelRun::signal_accesses_of(TaskId task, uint64_t number,
                                                       const SyscallArguments& arguments) {
  if (!about_signals(number)) return {};
  SignalOwners owners;
  for (const auto& [other, tid] : s_.kernel.tids()) {
    if (!s_.kernel.own(other)) continue;
    owners.tasks.push_back(other);
    owners.by_tid[tid] = other;
  }
  return signal_accesses(task, number, arguments, owners, s_.guest->memory(task));
}

void ModelRun::note_signal_call(TaskId task, uint64_t number, const SyscallArguments& arguments) {
  note_accesses(task, number, signal_accesses_of(task, number, arguments));
}

void ModelRun::note_accesses(TaskId task, uint64_t number,
                             const std::vector<KernelAccess>& accesses) {
  ModelGuest& guest = *s_.guest;
  for (const KernelAccess& access : accesses) {
    PassedPoint point;
    point.place = guest.task(task).place();
    point.address = access.address;
    point.size = static_cast<uint32_t>(access.size);
    point.writes = access.kind != AccessKind::read;
    point.by_call = static_cast<uint16_t>(1 + number);
    point.performed = ++performed_;
    outcome_.points.push_back(point);
    if (limits_.at_point) limits_.at_point(guest, task, outcome_.points.size() - 1);
  }
}

bool ModelRun::stops_before_call(TaskId task, const Place& at) {
  const bool watched = s_.points && s_.points->contains(at.pc);
  if (!watched && !limits_.faults) return false;
  Place& asked = asked_[task];
  if (asked == at) return false;
  if (limits_.faults && s_.kernel.own(task)) {
    const SyscallRequest request = s_.guest->request(task);
    faults_ = s_.kernel.faults(request, s_.guest->memory());
    situation_.call = request.number;
    situation_.faults = faults_;
  }
  if (!watched && faults_.empty()) return false;
  asked = at;
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

void ModelRun::note_performed(TaskId task) {
  const auto at = in_front_.find(task);
  if (at == in_front_.end()) return;
  PassedPoint& point = outcome_.points[at->second];
  if (s_.guest->task(task).place() == point.place) return;
  point.performed = ++performed_;
  in_front_.erase(at);
}

void ModelRun::note_point(TaskId task) {
  ModelGuest& guest = *s_.guest;
  touches_.clear();
  bool updates = false;
  // A forked child's memory is nobody else's.
  const bool shares = !s_.kernel.forked(task);
  for (const auto& operand :
       shares ? translator::memory_operands(GuestCode(guest.memory()), guest.task(task).registers)
              : std::vector<translator::MemoryOperand>()) {
    touches_.insert(touches_.begin(),
                    {operand.address, operand.size, operand.kind != AccessKind::read});
    updates = operand.kind == AccessKind::update;
  }
  const Place place = guest.task(task).place();
  const bool calls = guest.memory(task).load<uint16_t>(place.pc) == kSyscallInstruction;
  if (calls && s_.kernel.own(task)) {
    const SyscallRequest request = guest.request(task);
    for (const auto& accesses : {coming_accesses(request, guest.memory()),
                                 signal_accesses_of(task, request.number, request.arguments)})
      for (const KernelAccess& access : accesses)
        touches_.push_back({access.address, access.size, access.kind != AccessKind::read});
  }
  if (s_.heap && shares) {
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
  if (!limits_.keep_points || !shares) return;
  // A schedule's step may stop where a point has just done so.
  if (!outcome_.points.empty() && outcome_.points.back().place == place) return;
  in_front_[task] = outcome_.points.size();
  outcome_.points.emplace_back().place = place;
  outcome_.points.back().length =
      static_cast<uint8_t>(translator::instruction_length(GuestCode(guest.memory()), place.pc));
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

}  // namespace heddle
