// Scheduling: priorities, policies, affinity.
#include <errno.h>

#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

// A structure of another size than the kernel's is told the right one.
void setattr_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result == -E2BIG) out.push_back({call.arguments[1], kInt});
}

void getattr_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result != 0) return;
  // Linux 6.12 and later clear what they do not fill.
  out.push_back({call.arguments[1], call.arguments[2]});
}

constexpr Syscall kCalls[] = {
    {SYS_sched_yield, "sched_yield", logged, blocks, {}},
    {SYS_getpriority, "getpriority", logged, at_once, {integer, process}},
    {SYS_setpriority, "setpriority", logged, at_once, {integer, process, integer}},
    {SYS_sched_setparam, "sched_setparam", logged, at_once, {process, in}},
    {SYS_sched_getparam, "sched_getparam", logged, at_once, {process, out(kInt)}},
    {SYS_sched_setscheduler, "sched_setscheduler", logged, at_once, {process, integer, in}},
    {SYS_sched_getscheduler, "sched_getscheduler", logged, at_once, {process}},
    {SYS_sched_get_priority_max, "sched_get_priority_max", logged, at_once, {integer}},
    {SYS_sched_get_priority_min, "sched_get_priority_min", logged, at_once, {integer}},
    {SYS_sched_rr_get_interval,
     "sched_rr_get_interval",
     logged,
     at_once,
     {process, out(kTimespec)}},
    {SYS_sched_setaffinity, "sched_setaffinity", logged, at_once, {process, size, in}},
    {SYS_sched_getaffinity, "sched_getaffinity", logged, at_once, {process, size, bytes_out(1)}},
    {SYS_ioprio_set, "ioprio_set", logged, at_once, {integer, process, integer}},
    {SYS_ioprio_get, "ioprio_get", logged, at_once, {integer, process}},
    {SYS_getcpu, "getcpu", logged, at_once, {out(kInt), out(kInt), in}},
    {SYS_sched_setattr,
     "sched_setattr",
     logged,
     at_once,
     {process, by_command, flags},
     setattr_effects},
    {SYS_sched_getattr,
     "sched_getattr",
     logged,
     at_once,
     {process, by_command, size, flags},
     getattr_effects},
};

}  // namespace

std::span<const Syscall> scheduling() {
  return kCalls;
}

}  // namespace heddle::rows
