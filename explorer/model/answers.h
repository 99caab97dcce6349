// How the parts of the model kernel say what becomes of a request.
#pragma once

#include <time.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "machine/kernel.h"

namespace heddle::model {

inline SyscallAnswer done(int64_t result, std::vector<MemoryEffect> effects = {}) {
  SyscallAnswer answer;
  answer.result = result;
  answer.effects = std::move(effects);
  return answer;
}

inline SyscallAnswer of_kind(SyscallAnswer::Kind kind) {
  SyscallAnswer answer;
  answer.kind = kind;
  return answer;
}

// `reason`: what the model cannot know or does not model, for the list of infeasible runs.
inline SyscallAnswer infeasible(std::string reason) {
  SyscallAnswer answer;
  answer.kind = SyscallAnswer::Kind::infeasible;
  answer.reason = std::move(reason);
  return answer;
}

template <typename T>
MemoryEffect effect(uint64_t address, const T& value) {
  MemoryEffect e{address, std::vector<uint8_t>(sizeof value)};
  std::memcpy(e.bytes.data(), &value, sizeof value);
  return e;
}

constexpr uint64_t kSecond = 1'000'000'000;  // ns

inline timespec to_timespec(uint64_t ns) {
  return {static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
}

// Nothing where it is no valid one.
inline std::optional<uint64_t> to_ns(const timespec& t) {
  if (t.tv_sec < 0 || t.tv_nsec < 0 || t.tv_nsec >= static_cast<long>(kSecond)) return std::nullopt;
  if (t.tv_sec > 10'000'000'000) return uint64_t{10'000'000'000} * kSecond;  // for ever
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

}  // namespace heddle::model
