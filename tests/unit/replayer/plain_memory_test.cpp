// Calls that change the address space without a stop are made again by the runtime of a replay.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <map>

#include "recorder/recorder.h"
#include "replayer/replayer.h"
#include "trace_format/reader.h"

namespace heddle {
namespace {

namespace fs = std::filesystem;

class PlainMemoryReplay : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    char name[] = "/tmp/heddle-plain-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    Program program;
    program.path = HEDDLE_GUESTS "/plain_memory";
    program.arguments = {"plain_memory", "300"};
    EXPECT_EQ(Recorder(program, root_ / "t").run(), 0);
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  using Entry = heddle_log_entry;
  // Replays it all; each entry may be changed first, with its event's number.
  void replay(const std::function<void(Entry&, uint64_t number)>& change) {
    TraceReader trace(root_ / "t");
    translator::Options options;
    options.runtime_syscalls = true;
    options.fast = true;
    const auto first = trace.next();
    ASSERT_TRUE(first);
    Replayer replayer(
        *first, [&](const std::string& content) { return trace.pinned(content); }, nullptr,
        options);
    while (true) {
      while (auto calls = trace.next_calls()) {
        std::vector<uint8_t> entries(calls->entries.begin(), calls->entries.end());
        uint64_t number = calls->first_event;
        for (size_t at = 0; at < entries.size(); ++number) {
          Entry entry;
          std::memcpy(&entry, entries.data() + at, sizeof entry);
          change(entry, number);
          std::memcpy(entries.data() + at, &entry, sizeof entry);
          at += entry.size;
        }
        calls->entries = entries;
        replayer.advance(*calls);
      }
      const auto event = trace.next();
      if (!event) break;
      replayer.advance(*event);
    }
    replayer.catch_up();
    EXPECT_EQ(replayer.exit_status(), 0);
  }

  // The last call of that number, once changed, is where the replay diverges.
  void expect_divergence(uint64_t call, const std::function<void(Entry&)>& change) {
    uint64_t last = 0;
    replay([&](const Entry& entry, uint64_t number) {
      if (entry.number == call && entry.result >= 0) last = number;
    });
    ASSERT_NE(last, 0u) << "every one stopped";
    try {
      replay([&](Entry& entry, uint64_t number) {
        if (number == last) change(entry);
      });
      ADD_FAILURE() << "no divergence";
    } catch (const Divergence& divergence) {
      EXPECT_EQ(divergence.event, last) << divergence.what();
    }
  }

  static inline fs::path root_;
};

TEST_F(PlainMemoryReplay, ManyCallsDidNotStop) {
  std::map<uint64_t, int> calls;
  replay([&](const Entry& entry, uint64_t) { ++calls[entry.number]; });
  for (const uint64_t call : {SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_brk})
    EXPECT_GE(calls[call], 10) << call;
}

TEST_F(PlainMemoryReplay, OtherArgumentsAreADivergence) {
  expect_divergence(SYS_munmap, [](Entry& entry) { entry.arguments[1] += 0x1000; });
  expect_divergence(SYS_mprotect, [](Entry& entry) { entry.arguments[2] ^= 2; });
}

TEST_F(PlainMemoryReplay, WhatCannotBeDoneAgainIsADivergence) {
  // No page begins there.
  expect_divergence(SYS_mmap, [](Entry& entry) { entry.result += 1; });
  expect_divergence(SYS_madvise, [](Entry& entry) { entry.result = 1; });
}

}  // namespace
}  // namespace heddle
