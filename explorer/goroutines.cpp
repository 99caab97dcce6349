#include "explorer/goroutines.h"

namespace heddle {
namespace {

constexpr uint64_t kGoStatement = ~uint64_t{0} - 1;  // object that a go statement releases
constexpr uint64_t kGobufG = 16;                     // offset of gobuf.g (runtime2.go, Go 1.19)

}  // namespace

Goroutines::Goroutines(const Symbols& symbols) {
  for (const auto* name : {"runtime.gogo.abi0", "runtime.gogo"}) {
    if (gogo_ != 0) break;
    gogo_ = symbols.address_of(name).value_or(0);
  }
  if (gogo_ == 0) return;
  hooks_.insert(gogo_);
  if (const auto newproc = symbols.address_of("runtime.newproc")) hooks_.insert(*newproc);
}

StrandId Goroutines::numbered(uint64_t key, bool* fresh) {
  const auto [it, made] = by_g_.try_emplace(key, static_cast<StrandId>(by_g_.size() + 1));
  if (fresh) *fresh = made;
  return it->second;
}

StrandId Goroutines::strand(TaskId task) {
  const auto it = running_.find(task);
  return it != running_.end() ? it->second : numbered(task, nullptr);
}

void Goroutines::hooked(const TaskContext& context, const GuestMemory& memory,
                        RaceDetector& detector) {
  if (context.registers[Register::rip] != gogo_) {
    detector.release(strand(context.task), kGoStatement);
    return;
  }
  // gogo's one argument, a *gobuf, is above the return address (ABI0).
  const auto gobuf = memory.load<uint64_t>(context.registers[Register::rsp] + 8);
  const auto g = gobuf ? memory.load<uint64_t>(*gobuf + kGobufG) : std::nullopt;
  if (!g) return;
  bool fresh = false;
  const StrandId next = numbered(*g, &fresh);
  if (fresh) detector.acquire(next, kGoStatement);
  running_[context.task] = next;
}

bool Goroutines::internal(const std::string& function) const {
  return gogo_ != 0 && (function.starts_with("runtime.") || function.starts_with("runtime/")) &&
         !function.starts_with("runtime/internal/atomic");
}

}  // namespace heddle
