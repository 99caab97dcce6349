#include "explorer/model/clocks.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include <algorithm>

#include "explorer/model/answers.h"

namespace heddle::model {
namespace {

// What the clocks show when the program begins.
constexpr uint64_t kWallEpoch = uint64_t{1'700'000'000} * kSecond;
constexpr uint64_t kMonotonicEpoch = uint64_t{1000} * kSecond;

timeval to_timeval(uint64_t ns) {
  return {static_cast<time_t>(ns / kSecond), static_cast<suseconds_t>(ns % kSecond / 1000)};
}

std::optional<uint64_t> to_ns(const timeval& t) {
  if (t.tv_usec < 0 || t.tv_usec >= 1'000'000) return std::nullopt;
  return model::to_ns(timespec{t.tv_sec, t.tv_usec * 1000});
}

uint64_t add(uint64_t now, uint64_t duration) {
  return duration > kNever - 1 - now ? kNever - 1 : now + duration;
}

}  // namespace

Clocks::Deadline Clocks::deadline(uint64_t address, Limit meant, uint64_t now,
                                  const GuestMemory& memory) const {
  if (address == 0) return {};
  const auto time = memory.load<timespec>(address);
  if (!time) return {kNever, -EFAULT};
  const auto ns = model::to_ns(*time);
  if (!ns) return {kNever, -EINVAL};
  if (meant == Limit::relative) return {add(now, *ns), 0};
  const uint64_t epoch = meant == Limit::wall ? kWallEpoch : kMonotonicEpoch;
  return {*ns > epoch ? *ns - epoch : 0, 0};
}

std::optional<uint64_t> Clocks::reading(uint64_t clock, uint64_t now) {
  switch (static_cast<clockid_t>(clock)) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
      return kWallEpoch + now;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
      return kMonotonicEpoch + now;
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
      return now;
    default:
      // The processor time of another process or thread.
      if (static_cast<clockid_t>(clock) < 0) return now;
      return std::nullopt;
  }
}

std::optional<SyscallAnswer> Clocks::call(const SyscallRequest& request, const GuestMemory& memory,
                                          RunQueue& queue) {
  const auto& a = request.arguments;
  const uint64_t now = queue.now();
  switch (request.number) {
    case SYS_clock_gettime: {
      const auto ns = reading(a[0], now);
      if (!ns) return done(-EINVAL);
      return done(0, {effect(a[1], to_timespec(*ns))});
    }
    case SYS_clock_getres:
      if (!reading(a[0], now)) return done(-EINVAL);
      if (a[1] == 0) return done(0);
      return done(0, {effect(a[1], timespec{0, 1})});
    case SYS_gettimeofday: {
      std::vector<MemoryEffect> effects;
      if (a[0] != 0) effects.push_back(effect(a[0], to_timeval(kWallEpoch + now)));
      if (a[1] != 0) effects.push_back(effect(a[1], std::array<int32_t, 2>{}));
      return done(0, std::move(effects));
    }
    case SYS_time: {
      const auto seconds = static_cast<int64_t>((kWallEpoch + now) / kSecond);
      if (a[0] == 0) return done(seconds);
      return done(seconds, {effect(a[0], seconds)});
    }
    case SYS_times: {
      const auto clocks = static_cast<clock_t>(now / (kSecond / 100));
      if (a[0] == 0) return done(clocks);
      return done(clocks, {effect(a[0], tms{clocks, 0, 0, 0})});
    }
    case SYS_getrusage: {
      rusage usage{};
      usage.ru_utime = to_timeval(now);
      return done(0, {effect(a[1], usage)});
    }
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
      return sleep(request, memory, queue);
    case SYS_alarm:
      return alarm(a[0], now);
    case SYS_setitimer:
    case SYS_getitimer:
      return set_timer(request, memory, now);
    default:
      return std::nullopt;
  }
}

SyscallAnswer Clocks::sleep(const SyscallRequest& request, const GuestMemory& memory,
                            RunQueue& queue) {
  const auto& a = request.arguments;
  const bool by_clock = request.number == SYS_clock_nanosleep;
  const bool absolute = by_clock && (a[1] & TIMER_ABSTIME);
  Limit meant = Limit::relative;
  if (absolute)
    meant = a[0] == CLOCK_REALTIME || a[0] == CLOCK_TAI ? Limit::wall : Limit::monotonic;
  const uint64_t duration = by_clock ? a[2] : a[0];
  if (duration == 0) return done(-EFAULT);
  const Deadline until = deadline(duration, meant, queue.now(), memory);
  if (until.error != 0) return done(until.error);
  Wait wait;
  wait.what = "time to pass";
  wait.deadline = until.at;
  wait.timed_out = done(0);
  wait.on_signal = OnSignal::interrupts;
  wait.remaining = absolute ? 0 : by_clock ? a[3] : a[1];
  queue.block(request.place.task, wait);
  return of_kind(SyscallAnswer::Kind::blocks);
}

SyscallAnswer Clocks::set_timer(const SyscallRequest& request, const GuestMemory& memory,
                                uint64_t now) {
  const auto& a = request.arguments;
  if (a[0] != ITIMER_REAL) return infeasible("timers of processor time are not modelled");
  const bool set = request.number == SYS_setitimer;
  const uint64_t old_at = set ? a[2] : a[1];
  std::vector<MemoryEffect> effects;
  if (old_at != 0) {
    const uint64_t rest = alarm_ == kNever ? 0 : std::max(alarm_, now + 1000) - now;
    effects.push_back(effect(old_at, itimerval{to_timeval(alarm_interval_), to_timeval(rest)}));
  }
  if (set) {
    itimerval wanted{};
    if (a[1] != 0) {
      const auto loaded = memory.load<itimerval>(a[1]);
      if (!loaded) return done(-EFAULT);
      wanted = *loaded;
    }
    const auto value = to_ns(wanted.it_value), interval = to_ns(wanted.it_interval);
    if (!value || !interval) return done(-EINVAL);
    alarm_ = *value == 0 ? kNever : add(now, *value);
    alarm_interval_ = *interval;
  }
  return done(0, std::move(effects));
}

SyscallAnswer Clocks::alarm(uint64_t seconds, uint64_t now) {
  const uint64_t rest = alarm_ == kNever ? 0 : std::max(alarm_, now) - now;
  const auto whole = static_cast<int64_t>((rest + kSecond - 1) / kSecond);
  alarm_ = static_cast<uint32_t>(seconds) == 0
               ? kNever
               : add(now, uint64_t{static_cast<uint32_t>(seconds)} * kSecond);
  alarm_interval_ = 0;
  return done(whole);
}

bool Clocks::alarm_due(uint64_t now) {
  if (alarm_ > now) return false;
  alarm_ = alarm_interval_ == 0 ? kNever : add(now, alarm_interval_);
  return true;
}

}  // namespace heddle::model
