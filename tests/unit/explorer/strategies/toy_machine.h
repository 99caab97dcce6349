// A machine of tasks that are lists of operations: what a strategy sees of a program, without one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "explorer/strategies/follow_schedule.h"
#include "explorer/strategies/strategy.h"
#include "trace_format/schedule.h"

namespace heddle {

struct ToyOperation {
  enum class Kind : uint8_t {
    work,    // `amount` ticks
    call,    // a system call that returns at once
    load,    // an access point: the task's accumulator becomes the variable's value
    store,   // an access point: the variable becomes accumulator + amount
    update,  // an access point of two halves: the variable grows by `amount`
    lock,    // waits until the mutex `object` is free
    unlock,
    sleep,       // waits until `amount` of time passed
    spin_until,  // a tick at a time, until the variable is not 0
    go_back,     // a tick; goes on at the operation numbered `amount` while the accumulator is 0
  };
  Kind kind = Kind::work;
  uint32_t object = 0;
  uint64_t amount = 1;
};

// One function per task; tasks of the same one have the same pcs.
struct ToyProgram {
  std::vector<std::vector<ToyOperation>> functions;
  std::vector<uint32_t> tasks;  // task i + 1 runs functions[tasks[i]]

  // Guest address of an operation.
  static uint64_t pc(uint32_t function, size_t operation) {
    return 0x1000 * (uint64_t{function} + 1) + 4 * operation;
  }
  // Guest address of a variable; each has four bytes.
  static uint64_t address(uint32_t variable) { return 0x100000 + 4 * uint64_t{variable}; }
};

struct ToyStep {
  DecisionPoint why = DecisionPoint::blocked;
  Place at;
  Decision decision;
  size_t ready = 0;     // how many tasks could run without time passing
  bool jumped = false;  // in time: the chosen one was none of these
  bool operator==(const ToyStep& other) const {
    return why == other.why && at == other.at && decision.next == other.decision.next &&
           decision.ticks == other.decision.ticks;
  }
};

struct ToyOutcome {
  enum class End : uint8_t { finished, deadlock, too_long, not_runnable };
  End end = End::finished;
  std::map<uint32_t, uint64_t> variables;
  std::vector<ToyStep> steps;
  std::vector<std::pair<TaskId, uint64_t>> accesses;  // performed: task, pc; an update's store
  Schedule schedule;                                  // the decisions that were not the default
};

// Runs `program` as the explorer runs a guest: an access point is a decision before it is performed
// (and once more between the halves of an update); so is every call, wake-up, spent budget and
// block.
ToyOutcome run_toy(const ToyProgram& program, Strategy& strategy, uint64_t run,
                   uint64_t most_decisions = 10'000);

// The same, stopping where the next step of the schedule says too.
ToyOutcome follow_toy(const ToyProgram& program, FollowSchedule& strategy);

}  // namespace heddle
