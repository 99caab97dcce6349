// Clocks, timers and sleeping.
#include <time.h>

#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

// A sleep until a given time tells nothing about what was left.
void clock_nanosleep_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result == -EINTR && !(call.arguments[1] & TIMER_ABSTIME))
    out.push_back({call.arguments[3], kTimespec});
}

constexpr uint32_t kTimex = 208;

constexpr Syscall kCalls[] = {
    {SYS_nanosleep, "nanosleep", logged, blocks, {in, out_if_interrupted(kTimespec)}},
    {SYS_getitimer, "getitimer", logged, at_once, {integer, out(kItimer)}},
    {SYS_alarm, "alarm", logged, at_once, {number}},
    {SYS_setitimer, "setitimer", logged, at_once, {integer, in, out(kItimer)}},
    {SYS_gettimeofday, "gettimeofday", logged, at_once, {out(kTimeval), out(8)}},
    {SYS_times, "times", logged, at_once, {out(32)}},
    {SYS_adjtimex, "adjtimex", logged, at_once, {out_always(kTimex)}},
    {SYS_settimeofday, "settimeofday", logged, at_once, {in, in}},
    {SYS_time, "time", logged, at_once, {out(kLong)}},
    {SYS_timer_create, "timer_create", logged, at_once, {clock, in, out(kInt)}},
    {SYS_timer_settime, "timer_settime", logged, at_once, {integer, flags, in, out(kItimer)}},
    {SYS_timer_gettime, "timer_gettime", logged, at_once, {integer, out(kItimer)}},
    {SYS_timer_getoverrun, "timer_getoverrun", logged, at_once, {integer}},
    {SYS_timer_delete, "timer_delete", logged, at_once, {integer}},
    {SYS_clock_settime, "clock_settime", logged, at_once, {clock, in}},
    {SYS_clock_gettime, "clock_gettime", logged, at_once, {clock, out(kTimespec)}},
    {SYS_clock_getres, "clock_getres", logged, at_once, {clock, out(kTimespec)}},
    {SYS_clock_nanosleep,
     "clock_nanosleep",
     logged,
     blocks,
     {clock, flags, in, room(kTimespec)},
     clock_nanosleep_effects},
    {SYS_timerfd_create, "timerfd_create", logged, at_once, {clock, open_flags}},
    {SYS_timerfd_settime, "timerfd_settime", logged, at_once, {fd, flags, in, out(kItimer)}},
    {SYS_timerfd_gettime, "timerfd_gettime", logged, at_once, {fd, out(kItimer)}},
    {SYS_clock_adjtime, "clock_adjtime", logged, at_once, {clock, out_always(kTimex)}},
};

}  // namespace

std::span<const Syscall> time() {
  return kCalls;
}

}  // namespace heddle::rows
