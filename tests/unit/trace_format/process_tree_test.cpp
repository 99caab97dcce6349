#include "trace_format/process_tree.h"

#include <gtest/gtest.h>

namespace heddle {
namespace {

class Tree : public testing::Test {
 protected:
  void add(TaskId task, EventBody body, Ticks ticks = 0) {
    Event event;
    event.number = number_;
    event.time_ns = 10 * number_++;
    event.place = {task, ticks, 0x1000, 0};
    event.body = std::move(body);
    tree.add(event);
  }
  static event::Exec exec(const std::string& path, int32_t pid = 0) {
    event::Exec image;
    image.path = path;
    image.arguments = {path, "argument"};
    image.pid = pid;
    return image;
  }
  static event::Syscall clone(TaskId child, int32_t pid, bool process) {
    event::Syscall call;
    call.result = pid;
    call.child = child;
    call.makes_process = process;
    return call;
  }
  const TracedProcess& process(size_t i) { return tree.processes().at(i); }

  ProcessTree tree;

 private:
  uint64_t number_ = 0;
};

TEST_F(Tree, ThreadsAndProcesses) {
  add(1, exec("/first", 100));
  add(1, clone(2, 101, false), 5);
  add(1, clone(3, 102, true), 9);
  add(3, exec("/second"), 4);
  add(2, event::TaskExit{}, 7);
  add(3, event::ProcessExit{0x300}, 6);
  add(1, event::ProcessExit{6}, 11);
  ASSERT_EQ(tree.processes().size(), 2u);
  EXPECT_EQ(process(0).pid, 100);
  EXPECT_EQ(process(0).tasks, (std::vector<TaskId>{1, 2}));
  EXPECT_EQ(process(0).events, 5u);
  EXPECT_EQ(process(0).ticks, 18u);
  EXPECT_EQ(process(0).status, 6);
  EXPECT_EQ(process(1).pid, 102);
  EXPECT_EQ(process(1).parent, 0u);
  EXPECT_EQ(process(1).status, 0x300);
  EXPECT_EQ(process(1).began_ns, 20u);
  EXPECT_EQ(process(1).ended_ns, 50u);
  EXPECT_EQ(tree.program(0)->path, "/first");
  EXPECT_EQ(tree.program(1)->path, "/second");
  EXPECT_EQ(tree.process_of(2), 0u);
  EXPECT_EQ(tree.process_of(9), std::nullopt);
}

TEST_F(Tree, AProgramIsInherited) {
  add(1, exec("/first"));
  add(1, clone(2, 101, true));
  add(2, clone(3, 102, true));
  add(1, exec("/other"));
  add(1, clone(4, 103, true));
  EXPECT_EQ(tree.program(1)->path, "/first");
  EXPECT_EQ(tree.program(2)->path, "/first");
  EXPECT_EQ(tree.program(3)->path, "/other");
  EXPECT_EQ(process(0).programs.size(), 2u);
  EXPECT_EQ(process(2).parent, 1u);
}

TEST_F(Tree, SomeAreReleased) {
  add(1, exec("/first"));
  add(1, event::Released{"it was asked for"});
  EXPECT_EQ(process(0).released, "it was asked for");
  EXPECT_EQ(process(0).status, std::nullopt);
}

TEST_F(Tree, EventsOfTasksThatNeverWereAreNobodys) {
  add(1, exec("/first"));
  add(7, clone(8, 9, true));
  EXPECT_EQ(tree.processes().size(), 1u);
  EXPECT_EQ(process(0).events, 1u);
}

}  // namespace
}  // namespace heddle
