#include "machine/runtime/runtime.h"

#include <cstddef>

#include "machine/runtime/task_state.h"

extern "C" {
// Labels of runtime.c.
extern const uint8_t heddle_runtime_entry[];
extern const uint8_t heddle_runtime_saved[];
extern const uint8_t heddle_runtime_flags_saved[];
extern const uint8_t heddle_runtime_called[];
extern const uint8_t heddle_runtime_committed[];
extern const uint8_t heddle_runtime_end[];
// Labels of misses.c.
extern const uint8_t heddle_runtime_lookup_miss[];
extern const uint8_t heddle_runtime_return_miss[];
extern const uint8_t heddle_runtime_link_miss[];
extern const uint8_t heddle_runtime_miss_stop[];
extern const uint8_t heddle_runtime_cpuid[];
extern const uint8_t heddle_runtime_budget[];
extern const uint8_t heddle_runtime_budget_stop[];
extern const uint8_t heddle_runtime_misses_end[];
}

namespace heddle::runtime {

static_assert(offsetof(heddle_task_state, self) == 0x00);
static_assert(offsetof(heddle_task_state, syscall_return) == HEDDLE_STATE_SYSCALL_RETURN);
static_assert(offsetof(heddle_task_state, syscall_stop) == HEDDLE_STATE_SYSCALL_STOP);
static_assert(HEDDLE_STATE_SYSCALL_RETURN == 0x60 && HEDDLE_STATE_SYSCALL_STOP == 0x68);
static_assert(offsetof(heddle_task_state, log) == 0x88);
static_assert(offsetof(heddle_task_state, saved) == 0x90);
static_assert(offsetof(heddle_task_state, host_stack_top) == 0x110);
static_assert(offsetof(heddle_task_state, saved_flags) == 0x120);
static_assert(offsetof(heddle_task_state, call) == 0x130);

std::span<const uint8_t> code() {
  return {heddle_runtime_entry, heddle_runtime_end};
}

std::optional<Progress> progress(uint64_t offset) {
  if (offset >= code().size()) return std::nullopt;
  const auto passed = [&](const uint8_t* label) {
    return offset >= static_cast<uint64_t>(label - heddle_runtime_entry);
  };
  return Progress{passed(heddle_runtime_saved), passed(heddle_runtime_flags_saved),
                  passed(heddle_runtime_called), passed(heddle_runtime_committed)};
}

static_assert(offsetof(heddle_hot_state, miss_entry) == HEDDLE_HOT_MISS_ENTRY);
static_assert(offsetof(heddle_hot_state, miss_request) == HEDDLE_HOT_MISS_REQUEST);
static_assert(HEDDLE_HOT_MISS_REQUEST == 0x40);
static_assert(offsetof(heddle_hot_state, miss_answer) == 0x48);
static_assert(offsetof(heddle_hot_state, miss_rcx) == 0x50);
static_assert(offsetof(heddle_hot_state, miss_turns) == 0x58);
static_assert(offsetof(heddle_hot_state, miss_watched) == 0x60);
static_assert(offsetof(heddle_hot_state, miss_jump) == 0x68);
static_assert(offsetof(heddle_hot_state, miss_target) == 0x70);
static_assert(offsetof(heddle_hot_state, budget_entry) == HEDDLE_HOT_BUDGET_ENTRY);
static_assert(offsetof(heddle_hot_state, budget_site) == HEDDLE_HOT_BUDGET_SITE);
static_assert(offsetof(heddle_hot_state, budget_on) == 0x88);
static_assert(offsetof(heddle_hot_state, ticks_more) == HEDDLE_HOT_TICKS_MORE);

std::span<const uint8_t> miss_code() {
  return {heddle_runtime_lookup_miss, heddle_runtime_misses_end};
}

uint64_t lookup_miss() {
  return 0;
}

uint64_t return_miss() {
  return static_cast<uint64_t>(heddle_runtime_return_miss - heddle_runtime_lookup_miss);
}

uint64_t link_miss() {
  return static_cast<uint64_t>(heddle_runtime_link_miss - heddle_runtime_lookup_miss);
}

static_assert(offsetof(heddle_hot_state, cpuid_entry) == HEDDLE_HOT_CPUID_ENTRY);
static_assert(offsetof(heddle_hot_state, cpuid_return) == 0xe0);
static_assert(offsetof(heddle_hot_state, cpuid_rdx) == HEDDLE_HOT_CPUID_RDX);
static_assert(offsetof(heddle_cpuid_answer, any_subleaf) == 8);
static_assert(offsetof(heddle_cpuid_answer, eax) == 0x10);
static_assert(sizeof(heddle_cpuid_answer) == 0x20);
static_assert(offsetof(heddle_cpuid_table, answers) == sizeof(heddle_cpuid_answer));
static_assert(sizeof(heddle_cpuid_table) == 0x1000);

uint64_t cpuid() {
  return static_cast<uint64_t>(heddle_runtime_cpuid - heddle_runtime_lookup_miss);
}

uint64_t budget() {
  return static_cast<uint64_t>(heddle_runtime_budget - heddle_runtime_lookup_miss);
}

uint64_t budget_stop() {
  return static_cast<uint64_t>(heddle_runtime_budget_stop - heddle_runtime_lookup_miss);
}

uint64_t miss_stop() {
  return static_cast<uint64_t>(heddle_runtime_miss_stop - heddle_runtime_lookup_miss);
}

}  // namespace heddle::runtime
