#include "replayer/run_difference.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

namespace heddle {
namespace {

class Run {
 public:
  void add(TaskId task, Ticks ticks, EventBody body) {
    Event event;
    event.number = events.size();
    event.place = {task, ticks, 0x1000, 0};
    event.body = std::move(body);
    events.push_back(std::move(event));
  }
  std::vector<Event> events;
};

event::Syscall call(uint32_t number, int64_t result, std::array<uint64_t, 6> arguments = {}) {
  event::Syscall out;
  out.number = number;
  out.arguments = arguments;
  out.result = result;
  return out;
}

event::Syscall fork_of(TaskId child, int64_t pid) {
  auto out = call(SYS_fork, pid);
  out.child = child;
  out.makes_process = true;
  return out;
}

Run plain(int64_t pid) {
  Run run;
  event::Exec exec;
  exec.pid = static_cast<int32_t>(pid);
  run.add(1, 0, exec);
  run.add(1, 5, fork_of(2, pid + 1));
  run.add(2, 3, call(SYS_getppid, pid));
  run.add(1, 9, call(SYS_kill, 0, {static_cast<uint64_t>(pid) + 1, 15}));
  return run;
}

TEST(RunDifference, NumbersOfProcessesAreNotOne) {
  const auto difference = compare_runs(plain(100).events, plain(200).events);
  EXPECT_FALSE(difference.first);
  ASSERT_EQ(difference.tasks.size(), 2u);
  EXPECT_EQ(difference.tasks[0].task, "1");
  EXPECT_EQ(difference.tasks[1].task, "1.1");
  EXPECT_EQ(difference.tasks[0].same, 3u);
  EXPECT_TRUE(difference.tasks[0].answers.empty());
  EXPECT_TRUE(difference.tasks[1].answers.empty());
}

TEST(RunDifference, SignalsToOthersAre) {
  auto left = plain(100), right = plain(200);
  right.events[3].body = call(SYS_kill, 0, {200, 15});
  const auto difference = compare_runs(left.events, right.events);
  ASSERT_EQ(difference.first, 0u);
  EXPECT_EQ(difference.tasks[0].left->number, 3u);
  EXPECT_EQ(difference.tasks[0].right->number, 3u);
}

TEST(RunDifference, TheFirstToPartIsShown) {
  auto left = plain(100), right = plain(100);
  left.add(1, 20, call(SYS_read, 4));
  right.add(1, 20, call(SYS_read, 5));
  left.add(2, 7, call(SYS_getuid, 0));
  right.add(1, 21, call(SYS_getuid, 0));
  const auto difference = compare_runs(left.events, right.events);
  ASSERT_EQ(difference.first, 1u);
  EXPECT_EQ(difference.tasks[1].left->number, 5u);
  EXPECT_FALSE(difference.tasks[1].right);
  EXPECT_FALSE(difference.tasks[0].left);
  EXPECT_EQ(difference.tasks[0].right->number, 5u);
  ASSERT_EQ(difference.tasks[0].answers.size(), 1u);
  EXPECT_EQ(difference.tasks[0].answers[0].first.number, 4u);
}

TEST(RunDifference, OrderAmongTasksIsTheSchedules) {
  auto left = plain(100), right = plain(100);
  std::swap(right.events[2], right.events[3]);
  right.add(1, 12, event::Switch{2});
  const auto difference = compare_runs(left.events, right.events);
  EXPECT_FALSE(difference.first);
  EXPECT_TRUE(difference.other_schedule);
}

}  // namespace
}  // namespace heddle
