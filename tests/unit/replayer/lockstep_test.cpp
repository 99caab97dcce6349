// Lockstep says where a replay leaves what was recorded.
#include "replayer/lockstep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "recorder/recorder.h"
#include "trace_format/reader.h"

namespace heddle {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class LockstepTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    char name[] = "/tmp/heddle-lockstep-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    Program program;
    program.path = HEDDLE_GUESTS "/static_hello";
    program.arguments = {"static_hello"};
    RecordOptions options;
    options.hash_every = 200;
    EXPECT_EQ(Recorder(program, root_ / "t", options).run(), 0);
    trace_ = std::make_unique<TraceReader>(root_ / "t");
    events_ = trace_->read_all();
  }
  static void TearDownTestSuite() {
    trace_.reset();
    fs::remove_all(root_);
  }

  static LockstepResult run(const std::vector<Event>& events) {
    return run_in_lockstep(events,
                           [](const std::string& content) { return trace_->pinned(content); });
  }
  // The first event after `from` with such a body.
  template <typename Body>
  static size_t find_event(size_t from = 0) {
    while (from < events_.size() && !std::holds_alternative<Body>(events_[from].body)) ++from;
    return from;
  }

  static inline fs::path root_;
  static inline std::unique_ptr<TraceReader> trace_;
  static inline std::vector<Event> events_;
};

TEST_F(LockstepTest, ARecordingAgreesWithItself) {
  const auto result = run(events_);
  EXPECT_TRUE(result.agreed) << result.difference;
  EXPECT_EQ(result.events, events_.size() - 1);
  EXPECT_GT(result.hashes, 2u);
}

TEST_F(LockstepTest, NamesTheEventWhoseRegistersDiffer) {
  auto events = events_;
  // One that stopped the program: of the others the registers are not kept.
  size_t call = find_event<event::Syscall>();
  while (call < events.size() && !events[call].registers)
    call = find_event<event::Syscall>(call + 1);
  ASSERT_LT(call, events.size());
  (*events[call].registers)[Register::rbx] ^= 1;
  const auto result = run(events);
  EXPECT_FALSE(result.agreed);
  EXPECT_EQ(result.events, call - 1);
  EXPECT_THAT(result.difference, HasSubstr("event " + std::to_string(call)));
  EXPECT_THAT(result.difference, HasSubstr("rbx expected"));
}

TEST_F(LockstepTest, NamesTheMappingWhoseBytesDiffer) {
  auto events = events_;
  const size_t hash = find_event<event::StateHash>(find_event<event::Syscall>());
  ASSERT_LT(hash, events.size());
  auto& range = std::get<event::StateHash>(events[hash].body).memory.back();
  range.hash ^= 1;
  const auto result = run(events);
  EXPECT_FALSE(result.agreed);
  EXPECT_EQ(result.events, hash - 1);
  EXPECT_THAT(result.difference, HasSubstr("the recorded memory in 0x"));
  EXPECT_THAT(result.difference, HasSubstr("the last state known to be right: task 1 at ticks"));
}

TEST_F(LockstepTest, ATickTooFewIsNoticed) {
  auto events = events_;
  const size_t call = find_event<event::Syscall>(find_event<event::StateHash>());
  ASSERT_LT(call, events.size());
  --events[call].place.ticks;
  const auto result = run(events);
  EXPECT_FALSE(result.agreed);
  EXPECT_LE(result.events, call);
}

}  // namespace
}  // namespace heddle
