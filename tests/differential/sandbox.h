// A process in which a generated program runs natively and translated, from the same state.
#pragma once

#include <signal.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "machine/tracee/code_cache.h"
#include "machine/tracee/guest_cpu.h"
#include "machine/tracee/host_process.h"
#include "tests/differential/guest_program.h"

namespace heddle::differential {

// Everything that a run leaves behind, or that a step shows.
struct State {
  Registers registers;
  std::vector<uint8_t> extended;  // x87, SSE and AVX; the x87 pointers are masked
  std::vector<uint8_t> memory;    // data, then stack; empty in the middle of a run
  siginfo_t signal{};             // what ended it
};

// A native single step: the state before the instruction at registers.rip, and its ticks.
struct Step {
  Registers registers;
  Ticks ticks = 0;
};

inline translator::Options fast_translation() {
  translator::Options options;
  options.fast = true;
  return options;
}

class Sandbox {
 public:
  Sandbox();
  ~Sandbox();

  // Puts the program's code, memory and registers in place.
  void reset(const GuestProgram& program);

  State run_native();
  // The path of a native run, instruction by instruction (a repeated string instruction is one);
  // nothing if it takes more than `limit` steps.
  std::optional<std::vector<Step>> step_native(size_t limit, State* final_state);

  // A fresh code cache and CPU, as of now the only ones.
  GuestCpu& translated(const translator::Options& options);
  // For a fast translation: the cache of the last such call with what is in it made invalid, or,
  // after some programs, a fresh one.
  GuestCpu& translated_in_turn();
  CodeCache& cache() { return *cache_; }
  HostProcess& process() { return process_; }
  TaskContext context() const;

  // The state that `context` stands for, now.
  State state(const TaskContext& context, const siginfo_t& signal, bool with_memory);

 private:
  std::vector<uint8_t> extended();
  std::vector<uint8_t> memory() const;
  void start_native();

  HostProcess process_;
  uint8_t* code_ = nullptr;    // the supervisor's views of the shared areas
  uint8_t* memory_ = nullptr;  // data, read-only page, stack
  GuestProgram program_;
  RawExtendedState raw_;  // what ptrace gave at the start; its AVX-512 parts stay as they are
  std::shared_ptr<CodeCache> cache_;
  std::unique_ptr<GuestCpu> cpu_;
  unsigned turns_ = 0;           // of translated_in_turn() that cache_ has yet
  std::vector<uint8_t> filled_;  // what reset() fills the memory of `filled_from_` with
  std::optional<uint64_t> filled_from_;
};

}  // namespace heddle::differential
