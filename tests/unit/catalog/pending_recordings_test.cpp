#include "trace_format/catalog/pending_recordings.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/catalog/scratch.h"

namespace heddle {
namespace {

struct PendingRecordingsTest : testing::Test {
  Scratch scratch;
  std::filesystem::path file = scratch / "c.db";

  Catalog open() const { return Catalog(file, Database::Mode::read_write); }
  static PendingEntry::End ended(const std::string& outcome) {
    return {unix_now(), outcome, true, TraceEnd{3 << 8, 10, 2000, 77, "shared memory"}};
  }
  static std::string runs(Catalog& catalog) {
    Statement statement(catalog.database(),
                        "SELECT group_concat(ifnull(trace, '-') || ' ' || ifnull(outcome, '?'), "
                        "', ') FROM runs WHERE verb = 'record'");
    return statement.step() ? statement.text(0) : "";
  }
};

TEST_F(PendingRecordingsTest, NeedACatalog) {
  EXPECT_EQ(PendingRecording::reserve(file, 1), std::nullopt);
  std::ofstream(file) << "no database, and longer than the header of one would be: "
                      << scratch / "";
  EXPECT_EQ(PendingRecording::reserve(file, 1), std::nullopt);
}

TEST_F(PendingRecordingsTest, BecomeRowsWhenTheCatalogIsOpened) {
  open();
  const auto id = PendingRecording::reserve(file, 4);
  ASSERT_EQ(id, 4);
  PendingRecording(file, *id, scratch / "t4", "a b").end(ended("exit 3"));
  auto catalog = open();
  const auto row = catalog.find_trace(4);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->path, catalog_path_text(scratch / "t4"));
  EXPECT_EQ(row->command, "a b");
  EXPECT_EQ(row->exit_code, 3);
  EXPECT_EQ(row->events, 10);
  EXPECT_EQ(row->bytes, 2000);
  EXPECT_EQ(row->ticks, 77);
  EXPECT_EQ(row->tainted, "shared memory");
  EXPECT_EQ(runs(catalog), "4 exit 3");
  EXPECT_FALSE(PendingRecordings(file).any());
}

TEST_F(PendingRecordingsTest, NoNumberIsUsedTwice) {
  open();  // and close: a new database's header is in its log at first
  auto catalog = open();
  EXPECT_EQ(catalog.add_trace({"/a", "a", {}}), 1);
  EXPECT_EQ(PendingRecording::reserve(file, 1), 2);
  EXPECT_EQ(catalog.add_trace({"/b", "b", {}}), 3);
  EXPECT_EQ(PendingRecording::reserve(file, 1), 4);
}

TEST_F(PendingRecordingsTest, OneUnderWayIsThereAndIsEndedLater) {
  open();
  const auto id = *PendingRecording::reserve(file, 1);
  {
    PendingRecording recording(file, id, scratch / "t1", "a");
    auto catalog = open();
    EXPECT_EQ(catalog.find_trace(id)->events, std::nullopt);
    EXPECT_EQ(runs(catalog), "1 ?");
    recording.end(ended("exit 3"));
  }
  auto catalog = open();
  EXPECT_EQ(catalog.find_trace(id)->exit_code, 3);
  EXPECT_EQ(runs(catalog), "1 exit 3");
}

TEST_F(PendingRecordingsTest, OneWhoseRecorderWasKilledIsUnfinished) {
  open();
  PendingRecording(file, *PendingRecording::reserve(file, 1), scratch / "t1", "a");
  auto catalog = open();
  EXPECT_EQ(catalog.find_trace(1)->events, std::nullopt);
  EXPECT_EQ(runs(catalog), "1 ?");
  EXPECT_FALSE(PendingRecordings(file).any());
}

TEST_F(PendingRecordingsTest, OneThatIsNotKeptLeavesItsRunOnly) {
  open();
  PendingRecording(file, *PendingRecording::reserve(file, 1), scratch / "t1", "a")
      .end({unix_now(), "not started", false, {}});
  auto catalog = open();
  EXPECT_EQ(catalog.find_trace(1), std::nullopt);
  EXPECT_EQ(runs(catalog), "- not started");
  EXPECT_EQ(catalog.add_trace({"/b", "b", {}}), 2);
}

TEST_F(PendingRecordingsTest, ReplaysBecomeRunsOfTheirTraces) {
  EXPECT_EQ(PendingRecording::replay(file, scratch / "t1"), nullptr) << "no catalog yet";
  open();
  const auto replays = [&] {
    auto catalog = open();
    Statement statement(catalog.database(),
                        "SELECT group_concat(ifnull(trace, '-') || ' ' || ifnull(outcome, '?') || "
                        "' ' || (duration IS NULL), ', ') FROM runs WHERE verb = 'replay'");
    return statement.step() ? statement.text(0) : "";
  };
  // Recorded after the replay of another was entered, and taken over with it.
  auto under_way = PendingRecording::replay(file, scratch / "t1");
  PendingRecording(file, *PendingRecording::reserve(file, 1), scratch / "t1", "a")
      .end(ended("exit 3"));
  auto unknown = PendingRecording::replay(file, scratch / "t9");
  ASSERT_TRUE(under_way && unknown);
  unknown->end({unix_now(), "as recorded", true, {}});
  unknown.reset();
  EXPECT_EQ(replays(), "- as recorded 0");
  under_way->end({unix_now(), "diverged", true, {}});
  under_way.reset();
  EXPECT_EQ(replays(), "- as recorded 0, 1 diverged 0");
  PendingRecording::replay(file, scratch / "t1");  // killed
  EXPECT_EQ(replays(), "- as recorded 0, 1 diverged 0, 1 ? 1");
  EXPECT_FALSE(PendingRecordings(file).any());
}

TEST_F(PendingRecordingsTest, ADamagedEntryIsNone) {
  open();
  std::ofstream(file.string() + ".pending/t1") << "nothing that ends with a zero";
  std::ofstream(file.string() + ".pending/r1") << "neither";
  auto catalog = open();
  EXPECT_TRUE(catalog.traces().empty());
  EXPECT_FALSE(PendingRecordings(file).any());
}

}  // namespace
}  // namespace heddle
