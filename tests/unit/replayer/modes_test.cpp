// A recording replays under every mode of the translator: the same ticks at the same Places, since
// a replay stops at the recorded ones and compares registers there.
#include <gtest/gtest.h>
#include <unistd.h>

#include "recorder/recorder.h"
#include "replayer/replayer.h"
#include "trace_format/reader.h"

namespace heddle {
namespace {

namespace fs = std::filesystem;

class Modes : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/heddle-modes-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    Program program;
    program.path = std::string(HEDDLE_GUESTS "/") + GetParam();
    program.arguments = {program.path};
    program.environment = {"PATH=/usr/bin:/bin"};
    ASSERT_EQ(Recorder(program, root_ / "t", {}).run(), 0);
    trace_ = std::make_unique<TraceReader>(root_ / "t");
    events_ = trace_->read_all();
  }
  void TearDown() override { fs::remove_all(root_); }

  // Throws Divergence where the replay is not at an event's Place, or not in its state.
  void replay(const translator::Options& options) {
    Replayer replayer(
        events_.front(), [this](const std::string& content) { return trace_->pinned(content); },
        [](int, std::span<const uint8_t>) {}, options);
    replayer.on_instrumentation = [&](const Exit& exit) {
      auto& cpu = replayer.guest().cpu();
      if (exit.kind == Exit::Kind::log_full) {
        cpu.drain_log();
        cpu.resume_after_log();
      }
    };
    for (const auto& event : std::span(events_).subspan(1)) replayer.advance(event);
  }

  fs::path root_;
  std::unique_ptr<TraceReader> trace_;
  std::vector<Event> events_;
};

TEST_P(Modes, HaveTheSameTicksAtTheSamePlaces) {
  translator::Options plain, fast, logging, splitting;
  fast.fast = true;
  logging.log_accesses = true;
  // Every instruction that is recorded at some Place, and what surrounds it.
  std::set<uint64_t> points;
  for (const auto& event : events_)
    for (uint64_t pc = event.place.pc - 64; pc < event.place.pc + 64; ++pc) points.insert(pc);
  splitting.points = &points;
  EXPECT_NO_THROW(replay(plain));
  EXPECT_NO_THROW(replay(fast));
  EXPECT_NO_THROW(replay(logging));
  EXPECT_NO_THROW(replay(splitting));
}

INSTANTIATE_TEST_SUITE_P(Guests, Modes,
                         testing::Values("threads", "signals", "handlers", "run_time_code", "avx",
                                         "cpp_exceptions", "race_c"));

}  // namespace
}  // namespace heddle
