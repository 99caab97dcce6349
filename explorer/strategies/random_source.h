// The random numbers of a strategy: the same on every machine, for ever, since seeds are published.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "trace_format/place.h"

namespace heddle {

// SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA
// 2014). Not std::: the distributions there differ between libraries.
class RandomSource {
 public:
  RandomSource() = default;
  // The stream of one run of a seed.
  RandomSource(uint64_t seed, uint64_t run) : state_(seed) {
    state_ = next() ^ (run * 0xd1342543de82ef95);
    next();
  }

  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // In [0, bound), bound > 0. The bias of at most bound / 2^64 does not matter here.
  uint64_t below(uint64_t bound) { return next() % bound; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  template <typename T>
  const T& pick(std::span<const T> values) {
    return values[below(values.size())];
  }
  // Geometrically distributed, at least 1.
  Ticks geometric(Ticks mean) {
    const double uniform = static_cast<double>((next() >> 11) + 1) * 0x1p-53;  // in (0, 1]
    return 1 + static_cast<Ticks>(-std::log(uniform) * static_cast<double>(mean));
  }

 private:
  uint64_t state_ = 0;
};

}  // namespace heddle
