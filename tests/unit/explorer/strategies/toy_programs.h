// Programs of the toy machine that several tests use.
#pragma once

#include "tests/unit/explorer/strategies/toy_machine.h"

namespace heddle::toy {

using Kind = ToyOperation::Kind;

inline constexpr uint32_t kShared = 0, kFlag = 1;

// Two tasks that add to one variable, which is 2 in the end unless an update is torn.
inline ToyProgram lost_update() {
  return {{{{Kind::work, 0, 20}, {Kind::update, kShared, 1}, {Kind::work, 0, 20}}}, {0, 0}};
}
inline bool lost(const ToyOutcome& outcome) {
  return outcome.variables.at(kShared) != 2;
}

// A bug of depth 2: task 1 checks kShared and uses it; task 2 changes it. Between check and use
// nothing else happens. Behind it, so that there are more steps, both touch something else.
inline ToyProgram check_then_use(uint64_t around) {
  ToyProgram program{{{}, {}}, {0, 1}};
  auto& user = program.functions[0];
  auto& changer = program.functions[1];
  for (uint64_t i = 0; i < around; ++i) {
    user.push_back({Kind::load, 10, 0});
    changer.push_back({Kind::load, 11, 0});
  }
  user.push_back({Kind::load, kShared, 0});
  user.push_back({Kind::store, 2, 0});  // what was checked
  user.push_back({Kind::load, kShared, 0});
  user.push_back({Kind::store, 3, 0});  // what was used
  changer.push_back({Kind::load, 12, 0});
  changer.push_back({Kind::store, kShared, 1});
  for (uint64_t i = 0; i < around; ++i) {
    user.push_back({Kind::load, 10, 0});
    changer.push_back({Kind::load, 11, 0});
  }
  return program;
}
inline bool changed_between(const ToyOutcome& outcome) {
  return outcome.variables.at(2) != outcome.variables.at(3);
}

// Everything that tasks do: locks, sleeps, calls, spinning, updates.
inline ToyProgram mixed() {
  return {{{{Kind::sleep, 0, 500},
            {Kind::lock, 0, 0},
            {Kind::update, kShared, 1},
            {Kind::unlock, 0, 0},
            {Kind::work, 0, 300},
            {Kind::update, 5, 1},
            {Kind::call, 0, 0}},
           {{Kind::work, 0, 50},
            {Kind::lock, 0, 0},
            {Kind::load, kShared, 0},
            {Kind::sleep, 0, 1000},
            {Kind::store, kShared, 1},
            {Kind::unlock, 0, 0},
            {Kind::update, 5, 1},
            {Kind::store, kFlag, 1}},
           {{Kind::spin_until, kFlag, 0}, {Kind::work, 0, 10}, {Kind::update, 5, 1}}},
          {0, 0, 1, 2}};
}

}  // namespace heddle::toy
