// Runs a task's guest code in the supervisor's own process: an exit costs two jumps and a copy of
// the registers, where a stopped process costs a ptrace stop.
#pragma once

#include <memory>
#include <unordered_map>

#include "machine/resident/fault_handler.h"
#include "machine/resident/resident_memory.h"
#include "machine/tracee/guest_cpu.h"

namespace heddle {

// A task's x87 and vector registers, as the processor keeps them. A value.
class ExtendedRegisters {
 public:
  ExtendedRegisters();  // as the processor starts with
  // Standard XSAVE format up to AVX, every component filled in.
  RawExtendedState raw() const;
  void set(const RawExtendedState& state);

  uint8_t* area() { return area_.bytes.data(); }

 private:
  struct alignas(64) Area {
    std::array<uint8_t, 4096> bytes{};
  };
  Area area_;
};

class ResidentCpu {
 public:
  // Translates with `options` (resident is implied) into the arenas that `memory` has reserved.
  // Throws ResidentUnavailable where the processor lacks what this needs.
  ResidentCpu(ResidentMemory& memory, const translator::Options& options);

  // As GuestCpu::run and run_exact; kinds log_full, signal and event do not occur.
  Exit run(TaskContext& context, ExtendedRegisters& extended, Ticks budget, uint64_t points);
  Exit run_exact(TaskContext& context, ExtendedRegisters& extended, translator::Stop stop);

  // The guest's code in [start, start+size) is not what it was.
  void code_changed(uint64_t start, uint64_t size);
  const CodeCache& cache() const { return cache_; }

 private:
  Exit go(TaskContext& context, ExtendedRegisters& extended, Ticks budget, uint64_t points,
          uint64_t from);
  void settle(TaskContext& context, uint64_t pc, const translator::Spills& spills, uint8_t phase,
              uint8_t uncounted = 0);
  // Nothing: the guest runs on, from `resume`.
  std::optional<Exit> left(TaskContext& context);
  std::optional<Exit> faulted(TaskContext& context);
  std::optional<Exit> transferred(TaskContext& context, bool returns);
  const translator::ExitSite* site();
  uint64_t canonical_flags(uint64_t pc, uint64_t rflags);

  ResidentMemory& memory_;
  heddle_resident_state* state_;
  FaultHandler faults_;
  CodeCache cache_;
  std::optional<translator::Stop> exact_;  // of the throw-away translation that runs
  std::unordered_map<uint32_t, const translator::ExitSite*>
      sites_;                                          // by heddle_resident_state::exit
  std::unordered_map<uint64_t, uint64_t> dead_flags_;  // by pc
};

}  // namespace heddle
