#include "trace_format/catalog/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/catalog/scratch.h"

namespace heddle {
namespace {

int64_t number(Catalog& catalog, const std::string& sql) {
  Statement statement(catalog.database(), sql);
  return statement.step() ? statement.integer(0) : -1;
}

struct CatalogTest : testing::Test {
  Scratch scratch;
  Catalog catalog{scratch / "c.db", Database::Mode::read_write};

  RacingAccess access(uint64_t pc, const std::string& function) const {
    return {"update",
            {2, 17, pc, 1},
            0x40'4040,
            4,
            {{pc, function, "race.c", 11, "race"}, {0x40'2000, "main", "race.c", 30, "race"}}};
  }
};

TEST_F(CatalogTest, NumbersTracesUpwardsForEver) {
  EXPECT_EQ(catalog.add_trace({"/a", "a", {}}), 1);
  EXPECT_EQ(catalog.add_trace({"/b", "b", {}}), 2);
  EXPECT_EQ(catalog.add_trace({"/c", "c", {}}, 7), 7);
  catalog.remove_trace(7);
  EXPECT_EQ(catalog.add_trace({"/d", "d", {}}, 3), 8);
  EXPECT_EQ(catalog.find_trace(7), std::nullopt);
  EXPECT_EQ(catalog.latest_trace()->path, "/d");
}

TEST_F(CatalogTest, TellsHowATraceEnded) {
  const auto id = catalog.add_trace({"/a", "a", {}});
  EXPECT_EQ(catalog.find_trace(id)->events, std::nullopt);
  catalog.finish_trace(id, {3 << 8, 10, 2000, 77, {}});
  auto row = *catalog.find_trace(id);
  EXPECT_EQ(row.exit_code, 3);
  EXPECT_EQ(row.signal, std::nullopt);
  EXPECT_EQ(row.events, 10);
  EXPECT_EQ(row.bytes, 2000);
  EXPECT_EQ(row.ticks, 77);
  EXPECT_EQ(row.tainted, std::nullopt);
  catalog.finish_trace(id, {6, 10, 2000, 77, "shared memory"});
  row = *catalog.find_trace(id);
  EXPECT_EQ(row.exit_code, std::nullopt);
  EXPECT_EQ(row.signal, 6);
  EXPECT_EQ(row.tainted, "shared memory");
}

TEST_F(CatalogTest, FindsATraceByItsDirectory) {
  const auto first = catalog.add_trace({scratch / "x", "a", {}});
  const auto second = catalog.add_trace({scratch / "x/../x/", "b", first});
  EXPECT_EQ(catalog.find_trace(scratch / "x/")->id, second);
  EXPECT_EQ(catalog.find_trace(scratch / "x")->parent, first);
  EXPECT_EQ(catalog.find_trace(scratch / "y"), std::nullopt);
  catalog.set_path(first, scratch / "y");
  EXPECT_EQ(catalog.find_trace(scratch / "y")->id, first);
}

TEST_F(CatalogTest, KeepsRunsAndTheirSchedules) {
  const auto trace = catalog.add_trace({"/a", "a", {}});
  const auto run = catalog.begin_run({"explore", trace, {}, ~0ull});
  EXPECT_EQ(number(catalog, "SELECT duration IS NULL AND outcome IS NULL FROM runs"), 1);
  const std::vector<TriedSchedule> tried = {{1, "-", "same", "", 0},
                                            {2, "1@2:3>4", "changed", "the output differs", 1}};
  catalog.add_schedules(run, tried);
  catalog.end_run(run, "found 1");
  EXPECT_EQ(number(catalog, "SELECT seed FROM runs"), -1);
  EXPECT_EQ(number(catalog, "SELECT count(*) FROM runs WHERE duration >= 0"), 1);
  EXPECT_EQ(number(catalog, "SELECT sum(steps) FROM schedules WHERE verdict = 'changed'"), 1);
}

TEST_F(CatalogTest, AddsSchedulesAllOrNone) {
  const auto run = catalog.begin_run({"explore", {}, {}, {}});
  const std::vector<TriedSchedule> twice = {{1, "-", "same", "", 0}, {1, "-", "same", "", 0}};
  EXPECT_THROW(catalog.add_schedules(run, twice), CatalogError);
  EXPECT_EQ(number(catalog, "SELECT count(*) FROM schedules"), 0);
  EXPECT_THROW(catalog.add_schedules(run + 1, std::vector{twice[0]}), CatalogError);
}

TEST_F(CatalogTest, KeepsARaceOncePerTrace) {
  const auto trace = catalog.add_trace({"/a", "a", {}});
  const auto other = catalog.add_trace({"/b", "b", {}});
  const auto a = access(0x40'1000, "add"), b = access(0x40'1010, "add");
  const auto race = catalog.add_race(trace, {a, b, 5});
  EXPECT_EQ(catalog.add_race(trace, {b, a, 9}), race);
  EXPECT_NE(catalog.add_race(other, {a, b, 1}), race);
  EXPECT_EQ(number(catalog, "SELECT count FROM races WHERE id = " + std::to_string(race)), 9);
  EXPECT_EQ(number(catalog, "SELECT count(*) FROM races"), 2);
  EXPECT_EQ(number(catalog, "SELECT count(*) FROM accesses"), 4);
  EXPECT_EQ(number(catalog, "SELECT count(*) FROM stacks"), 2);
  EXPECT_EQ(number(catalog, "SELECT count(*) FROM frames WHERE depth = 1"), 2);
  EXPECT_EQ(number(catalog,
                   "SELECT count(*) FROM races_view WHERE trace = 't1' AND address = '0x404040' "
                   "AND first_line = 'race.c:11'"),
            1);
  EXPECT_EQ(
      number(catalog, "SELECT count(*) FROM accesses WHERE place GLOB '2@17:4010?0.1' AND task=2"),
      4);
}

TEST_F(CatalogTest, KeepsARaceWithoutNames) {
  const auto trace = catalog.add_trace({"/a", "a", {}});
  RacingAccess bare{"read", {1, 2, 3, 0}, 4, 8, {}};
  catalog.add_race(trace, {bare, bare, 1});
  EXPECT_EQ(number(catalog, "SELECT count(*) FROM accesses WHERE stack IS NULL"), 2);
}

Finding finding(const std::string& fingerprint, const std::string& schedule) {
  Finding f;
  f.kind = "data race";
  f.verdict = "changed";
  f.fingerprint = fingerprint;
  f.schedule = Schedule::parse(schedule);
  f.seed = 7;
  f.schedules_tried = 3;
  f.found_steps = 12;
  f.sides = {{"write of 4 bytes",
              "thread 2",
              {2, 5, 0x40'1000, 0},
              0x40'4040,
              4,
              "shared",
              {{0x40'1000, "add", "race.c", 11, ""}, {0x40'2000, "main", "race.c", 30, ""}}},
             {"waits", "thread 3", {3, 5, 0x40'1000, 0}, 0, 0, "", {}}};
  return f;
}

using Known = std::optional<std::filesystem::path>;

std::filesystem::path in_store(FindingId id, const Known&) {
  return "/store/f" + std::to_string(id);
}

TEST_F(CatalogTest, UpdatesAFindingThatIsSeenAgain) {
  const auto trace = catalog.add_trace({"/a", "a", {}});
  EXPECT_EQ(catalog.add_finding({finding("abc", "-"), "a race", "racer", trace}, in_store), 1);
  EXPECT_EQ(catalog.add_finding({finding("def", "-"), "a race", "racer", {}}, in_store), 2);
  const auto before = *catalog.find_finding(1);
  const auto again = finding("abc", "1@2:3>4");
  EXPECT_EQ(catalog.add_finding({again, "the race", "racer", trace},
                                [&](FindingId id, const Known& known) {
                                  EXPECT_EQ(id, 1);
                                  EXPECT_EQ(known, "/store/f1");
                                  return in_store(id, known);
                                }),
            1);
  const auto after = *catalog.find_finding(1);
  EXPECT_EQ(after.path, "/store/f1");
  EXPECT_EQ(after.trace, trace);
  EXPECT_EQ(after.title, "the race");
  EXPECT_EQ(after.verdict, "changed");
  EXPECT_EQ(after.first_seen, before.first_seen);
  EXPECT_GE(after.last_seen, before.last_seen);
  EXPECT_EQ(before.count, 1);
  EXPECT_EQ(after.count, 2);
  EXPECT_EQ(number(catalog,
                   "SELECT id FROM findings WHERE schedule = '1@2:3>4' AND seed = 7 AND "
                   "found_after = 3 AND minimised_from = 12 AND kind = 'data race'"),
            1);
  EXPECT_EQ(catalog.findings().size(), 2u);
  EXPECT_EQ(catalog.add_finding({finding("abc", "-"), "", "another", {}}, in_store), 3);
  EXPECT_EQ(catalog.add_finding({finding("ghi", "-"), "", "racer", {}}, in_store, 9), 9);
  EXPECT_EQ(catalog.find_finding("/store/f2")->id, 2);
  EXPECT_FALSE(catalog.find_finding(4));
  EXPECT_FALSE(catalog.find_finding("/store/f4"));
}

TEST_F(CatalogTest, KeepsTheSidesOfAFinding) {
  auto f = finding("abc", "-");
  catalog.add_finding({f, "", "racer", {}}, in_store);
  EXPECT_EQ(number(catalog,
                   "SELECT count(*) FROM sides JOIN frames USING(stack) WHERE finding = 1 AND "
                   "variable = 'shared' AND place = '2@5:401000' AND file = 'race.c'"),
            2);
  EXPECT_EQ(number(catalog, "SELECT count(*) FROM sides WHERE stack IS NULL AND number = 2"), 1);
  f.sides.pop_back();
  catalog.add_finding({f, "", "racer", {}}, in_store);
  EXPECT_EQ(number(catalog, "SELECT count(*) FROM sides"), 1);
}

TEST_F(CatalogTest, KeepsNoFindingWhoseTraceWasNotStored) {
  const auto fails = [](FindingId, const Known& known) -> std::filesystem::path {
    EXPECT_FALSE(known);
    throw std::runtime_error("disk full");
  };
  EXPECT_THROW(catalog.add_finding({finding("abc", "-"), "", "racer", {}}, fails),
               std::runtime_error);
  EXPECT_TRUE(catalog.findings().empty());
  EXPECT_EQ(catalog.add_trace({"/a", "a", {}}), 1);
}

}  // namespace
}  // namespace heddle
