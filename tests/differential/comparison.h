// A program's native run against its translated runs, in every mode.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tests/differential/sandbox.h"

namespace heddle::differential {

class Comparison {
 public:
  // What differs between the program's native and translated runs, by mode; nothing where they are
  // the same in every register, flag, vector register and byte of memory, and in how they end.
  // Dead status flags are compared as canonical_flags shows them.
  std::optional<std::string> difference(const GuestProgram& program);

  // The same of a fast translated run's end alone, without a step of the native run: some thirty
  // times as fast. Calls `before` in front of the native run, which may have no end where the
  // translation is wrong.
  std::optional<std::string> difference_at_end(const GuestProgram& program,
                                               const std::function<void()>& before);

  // How the native run of the last program ended.
  const State& end() const { return end_; }

  // The program with as few items as still differ.
  GuestProgram minimised(GuestProgram program);

 private:
  std::optional<std::string> fast();
  std::optional<std::string> exact();
  std::optional<std::string> logging();
  bool gathers(uint64_t pc);
  std::optional<std::string> splitting();

  std::optional<std::string> compare_end(const Exit& exit, const TaskContext& context);
  std::optional<std::string> compare_end(const Exit& exit, const TaskContext& context,
                                         const State& state) const;
  std::optional<std::string> compare_step(const Step& step, const TaskContext& context) const;
  uint64_t shown_flags(uint64_t pc, uint64_t rflags) const;
  Ticks budget() const;  // one more than the native run took

  Sandbox sandbox_;
  GuestProgram program_;
  std::vector<Step> path_;
  State end_;
};

}  // namespace heddle::differential
