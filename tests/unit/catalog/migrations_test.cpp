#include "trace_format/catalog/migrations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/unit/catalog/scratch.h"
#include "trace_format/catalog/catalog.h"

namespace heddle {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

int64_t number(Database& database, const std::string& sql) {
  Statement statement(database, sql);
  return statement.step() ? statement.integer(0) : -1;
}

TEST(Migrations, BringEveryOlderVersionToTheLatest) {
  const auto steps = catalog_steps();
  for (size_t version = 0; version <= steps.size(); ++version) {
    Scratch scratch;
    {
      Database old(scratch / "c.db", Database::Mode::read_write);
      migrate(old, steps.first(version));
    }
    Catalog catalog(scratch / "c.db", Database::Mode::read_write);
    EXPECT_EQ(number(catalog.database(), "PRAGMA user_version"),
              static_cast<int64_t>(steps.size()));
    EXPECT_EQ(catalog.add_trace({scratch / "t", "true", {}}), 1);
    EXPECT_EQ(number(catalog.database(), "SELECT count(*) FROM traces_view"), 1);
    EXPECT_EQ(number(catalog.database(), "SELECT count(*) FROM findings_view"), 0);
    EXPECT_EQ(number(catalog.database(), "SELECT count(*) FROM races_view"), 0);
  }
}

constexpr std::array<const char*, 3> kThree = {
    "CREATE TABLE a(x); INSERT INTO a VALUES(1)",
    "ALTER TABLE a ADD COLUMN y DEFAULT 2",
    "UPDATE a SET x = x + y",
};

TEST(Migrations, ApplyOnlyTheMissingSteps) {
  for (size_t version = 0; version <= kThree.size(); ++version) {
    Scratch scratch;
    Database database(scratch / "c.db", Database::Mode::read_write);
    migrate(database, std::span(kThree).first(version));
    migrate(database, kThree);
    migrate(database, kThree);
    EXPECT_EQ(number(database, "SELECT x FROM a"), 3) << version;
    EXPECT_EQ(number(database, "PRAGMA user_version"), 3);
  }
}

TEST(Migrations, LeaveTheOldVersionWhereAStepFails) {
  constexpr std::array<const char*, 2> kBroken = {kThree[0], "UPDATE a SET x = 9; SELECT nonsense"};
  Scratch scratch;
  Database database(scratch / "c.db", Database::Mode::read_write);
  migrate(database, std::span(kBroken).first(1));
  EXPECT_THROW(migrate(database, kBroken), CatalogError);
  EXPECT_EQ(number(database, "SELECT x FROM a"), 1);
  EXPECT_EQ(number(database, "PRAGMA user_version"), 1);
}

TEST(Migrations, RefuseALaterVersion) {
  Scratch scratch;
  {
    Database later(scratch / "c.db", Database::Mode::read_write);
    migrate(later, catalog_steps());
    later.run("PRAGMA user_version = 99");
  }
  for (const auto mode : {Database::Mode::read_write, Database::Mode::read_only})
    EXPECT_THAT([&] { Catalog(scratch / "c.db", mode); },
                ThrowsMessage<CatalogError>(HasSubstr("version 99, this heddle knows up to")));
}

TEST(Migrations, RefuseAnotherProgramsDatabase) {
  Scratch scratch;
  {
    Database other(scratch / "c.db", Database::Mode::read_write);
    other.run("CREATE TABLE theirs(x)");
  }
  EXPECT_THAT([&] { Catalog(scratch / "c.db", Database::Mode::read_write); },
              ThrowsMessage<CatalogError>(HasSubstr("a database of another program")));
}

TEST(Migrations, ReadOnlyAsksForAWriterFirst) {
  Scratch scratch;
  { Database empty(scratch / "c.db", Database::Mode::read_write); }
  EXPECT_THAT([&] { Catalog(scratch / "c.db", Database::Mode::read_only); },
              ThrowsMessage<CatalogError>(HasSubstr("must be writable once")));
}

}  // namespace
}  // namespace heddle
