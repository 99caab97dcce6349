// A map from 64-bit keys to small values for what is looked up all the time and never taken out:
// open addressing with linear probing in one array, at most half full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace heddle {

template <typename Value>
class KeyMap {
 public:
  // `key` is never ~0. What is returned is good until something is added.
  Value* find(uint64_t key) {
    if (places_.empty()) return nullptr;
    Place& place = at(key);
    return place.key == key ? &place.value : nullptr;
  }
  // Added where it is not there.
  Value& operator[](uint64_t key) {
    if (2 * (used_ + 1) > places_.size()) grow();
    Place& place = at(key);
    if (place.key != key) {
      place.key = key;
      ++used_;
    }
    return place.value;
  }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};
  static constexpr unsigned kFirstBits = 10;
  struct Place {
    uint64_t key = kFree;
    Value value{};
  };

  // The key's place, or where it would be.
  Place& at(uint64_t key) {
    size_t i = key * 0x9e37'79b9'7f4a'7c15 >> (64 - bits_);
    while (places_[i].key != key && places_[i].key != kFree) i = (i + 1) & (places_.size() - 1);
    return places_[i];
  }
  void grow() {
    bits_ = bits_ == 0 ? kFirstBits : bits_ + 1;
    std::vector<Place> before(size_t{1} << bits_);
    before.swap(places_);
    for (const auto& place : before)
      if (place.key != kFree) at(place.key) = place;
  }

  std::vector<Place> places_;
  size_t used_ = 0;
  unsigned bits_ = 0;  // of an index into places_
};

}  // namespace heddle
