// A message between two processes that are copies of one program.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace heddle {

// Fields one after the other, as they lie in memory.
class Message {
 public:
  Message() = default;
  explicit Message(const std::string& text) : text_(text) {}

  template <typename T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& value) { text_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void put(const std::string& value) {
    put(value.size());
    text_ += value;
  }
  template <typename T>
  T get() {
    T value{};
    if constexpr (std::is_same_v<T, std::string>) {
      const auto size = get<size_t>();
      value.assign(text_, at_, size);
      at_ += size;
    } else {
      if (at_ + sizeof value > text_.size()) throw std::logic_error("a worker's message is short");
      std::memcpy(&value, text_.data() + at_, sizeof value);
      at_ += sizeof value;
    }
    return value;
  }
  const std::string& text() const { return text_; }
  bool at_end() const { return at_ == text_.size(); }

 private:
  std::string text_;
  size_t at_ = 0;
};

}  // namespace heddle
