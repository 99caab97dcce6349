#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "tests/unit/catalog/scratch.h"
#include "trace_format/catalog/catalog.h"

namespace heddle {
namespace {

constexpr int kProcesses = 8;
constexpr int kTraces = 10;

// Runs `body` in that many processes at once; true where all of them returned.
template <typename Body>
bool in_processes(Body body) {
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      try {
        body(i);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "process %d: %s\n", i, error.what());
        _exit(1);
      }
      _exit(0);
    }
    children.push_back(child);
  }
  bool all = true;
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    all = all && status == 0;
  }
  return all;
}

// The first to come makes the file and its schema; nobody may be turned away meanwhile.
TEST(Concurrency, RecordersShareANewCatalog) {
  Scratch scratch;
  const auto file = scratch / "c.db";
  ASSERT_TRUE(in_processes([&](int i) {
    Catalog catalog(file, Database::Mode::read_write);
    for (int n = 0; n < kTraces; ++n) {
      const auto id = catalog.add_trace({scratch / std::to_string(i), "true", {}});
      const auto run = catalog.begin_run({"record", id, {}, {}});
      catalog.finish_trace(id, {0, 1, 1, 1, {}});
      catalog.end_run(run, "ended");
    }
  }));
  Catalog catalog(file, Database::Mode::read_only);
  std::set<TraceId> ids;
  for (const auto& trace : catalog.traces()) {
    EXPECT_EQ(trace.exit_code, 0);
    ids.insert(trace.id);
  }
  EXPECT_EQ(ids.size(), static_cast<size_t>(kProcesses * kTraces));
  EXPECT_EQ(*ids.rbegin(), kProcesses * kTraces);
}

TEST(Concurrency, ExplorersAgreeOnAFinding) {
  Scratch scratch;
  const auto file = scratch / "c.db";
  { Catalog(file, Database::Mode::read_write); }
  ASSERT_TRUE(in_processes([&](int) {
    Catalog catalog(file, Database::Mode::read_write);
    NewFinding same;
    same.finding.fingerprint = "the same";
    catalog.add_finding(same, [&](FindingId, const auto&) {
      // Nobody else is here.
      if (!std::filesystem::create_directory(scratch / "turn"))
        throw std::runtime_error("another process is storing");
      std::filesystem::remove(scratch / "turn");
      return scratch / "f1";
    });
  }));
  const auto findings = Catalog(file, Database::Mode::read_only).findings();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].count, kProcesses);
}

// A reader sees the catalog as it was before a writer that has not committed, without waiting.
TEST(Concurrency, ReadersDoNotWait) {
  Scratch scratch;
  Catalog writer(scratch / "c.db", Database::Mode::read_write);
  writer.add_trace({"/a", "a", {}});
  Transaction transaction(writer.database());
  writer.database().run("DELETE FROM traces");
  EXPECT_EQ(Catalog(scratch / "c.db", Database::Mode::read_only).traces().size(), 1u);
}

}  // namespace
}  // namespace heddle
