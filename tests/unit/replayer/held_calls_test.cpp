// Calls that the runtime answers during a replay are compared with the recording one by one.
#include "replayer/held_calls.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "recorder/recorder.h"
#include "replayer/replayer.h"
#include "trace_format/reader.h"

namespace heddle {
namespace {

namespace fs = std::filesystem;

class HeldCallsTest : public testing::Test {
 protected:
  static constexpr size_t kCalls = 5000;  // more than are held at once

  static void SetUpTestSuite() {
    char name[] = "/tmp/heddle-held-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    Program program;
    program.path = HEDDLE_GUESTS "/clock_loop";
    program.arguments = {"clock_loop", std::to_string(kCalls)};
    EXPECT_EQ(Recorder(program, root_ / "t").run(), 0);
    trace_ = std::make_unique<TraceReader>(root_ / "t");
    events_ = trace_->read_all();
    for (size_t i = 0; i < events_.size(); ++i) {
      const auto* call = std::get_if<event::Syscall>(&events_[i].body);
      if (call && call->number == SYS_clock_gettime && !events_[i].registers) logged_.push_back(i);
    }
  }
  static void TearDownTestSuite() {
    trace_.reset();
    fs::remove_all(root_);
  }

  static std::unique_ptr<Replayer> replayer() {
    translator::Options options;
    options.runtime_syscalls = true;
    return std::make_unique<Replayer>(
        events_.front(), [](const std::string& content) { return trace_->pinned(content); },
        nullptr, options);
  }

  // Replays these events and expects them to diverge at that one.
  static void expect_divergence(const std::vector<Event>& events, uint64_t number,
                                const std::string& actual) {
    const auto replay = replayer();
    try {
      for (size_t i = 1; i < events.size(); ++i) replay->advance(events[i]);
      ADD_FAILURE() << "no divergence";
    } catch (const Divergence& divergence) {
      EXPECT_EQ(divergence.event, number) << divergence.what();
      EXPECT_NE(divergence.actual.find(actual), std::string::npos) << divergence.what();
    }
  }

  static event::Syscall& call(Event& event) { return std::get<event::Syscall>(event.body); }

  static inline fs::path root_;
  static inline std::unique_ptr<TraceReader> trace_;
  static inline std::vector<Event> events_;
  static inline std::vector<size_t> logged_;  // indexes of the calls without a stop
};

TEST_F(HeldCallsTest, NearlyAllWereLogged) {
  EXPECT_GT(logged_.size(), kCalls - 10);
}

TEST_F(HeldCallsTest, AreAnsweredAsRecorded) {
  const auto replay = replayer();
  for (size_t i = 1; i < events_.size(); ++i) replay->advance(events_[i]);
  EXPECT_EQ(replay->exit_status(), 0);
}

TEST_F(HeldCallsTest, OtherArgumentsAreADivergenceAtThatCall) {
  auto events = events_;
  Event& event = events[logged_[3000]];
  call(event).arguments[0] ^= 1;
  expect_divergence(events, event.number, "other arguments");
}

TEST_F(HeldCallsTest, AnotherPlaceIsADivergenceAtThatCall) {
  auto events = events_;
  Event& event = events[logged_[3000]];
  ++event.place.ticks;
  expect_divergence(events, event.number, "system call clock_gettime");
}

TEST_F(HeldCallsTest, ACallThatIsNotInTheTraceIsADivergence) {
  auto events = events_;
  const size_t at = logged_[3000];
  events.erase(events.begin() + static_cast<std::ptrdiff_t>(at));
  expect_divergence(events, events[at].number, "system call clock_gettime");
}

TEST_F(HeldCallsTest, AnotherAnswerShowsInWhatFollows) {
  auto events = events_;
  // The program checks that its clock does not go back, and fails.
  call(events[logged_[3000]]).effects[0].bytes.assign(16, 0);
  const auto replay = replayer();
  EXPECT_THROW(
      {
        for (size_t i = 1; i < events.size(); ++i) replay->advance(events[i]);
      },
      Divergence);
}

TEST_F(HeldCallsTest, AtTheEndOfATraceThatIsCutOffTheyAreCaughtUpWith) {
  const auto replay = replayer();
  const size_t last = logged_[1500];
  for (size_t i = 1; i <= last; ++i) replay->advance(events_[i]);
  replay->catch_up();
  const TaskContext& context = replay->guest().task(1);
  EXPECT_EQ(context.ticks, events_[last].place.ticks);
  EXPECT_EQ(context.registers[Register::rip], events_[last].place.pc + 2);
}

TEST_F(HeldCallsTest, OnlyCallsOfOneTaskThatTheRuntimeCanAnswerAreHeld) {
  HeldCalls held;
  Event event = events_[logged_[0]];
  EXPECT_TRUE(held.hold(event));
  event.place.task = 2;
  EXPECT_FALSE(held.hold(event));
  event = events_[logged_[0]];
  call(event).number = SYS_brk;
  EXPECT_FALSE(held.hold(event));
  call(event).number = SYS_writev;
  call(event).result = 1;
  EXPECT_FALSE(held.hold(event, 1));
  event = events_[logged_[0]];
  event.registers.emplace();
  EXPECT_FALSE(held.hold(event));
  EXPECT_EQ(held.task(), 1u);
}

}  // namespace
}  // namespace heddle
