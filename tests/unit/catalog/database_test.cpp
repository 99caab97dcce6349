#include "trace_format/catalog/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/unit/catalog/scratch.h"
#include "trace_format/catalog/catalog.h"

namespace heddle {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr auto kWrite = Database::Mode::read_write;
constexpr auto kRead = Database::Mode::read_only;

mode_t permissions(const std::filesystem::path& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

TEST(Database, IsForItsUserAlone) {
  Scratch scratch;
  Catalog catalog(scratch / "data/heddle/catalog.db", kWrite);
  EXPECT_EQ(permissions(scratch / "data"), 0700u);
  EXPECT_EQ(permissions(scratch / "data/heddle"), 0700u);
  EXPECT_EQ(permissions(scratch / "data/heddle/catalog.db"), 0600u);
  EXPECT_EQ(permissions(scratch / "data/heddle/catalog.db-wal"), 0600u);
}

TEST(Database, SaysWhereItCannotBeOpened) {
  Scratch scratch;
  EXPECT_THAT([&] { Database(scratch / "none.db", kRead); },
              ThrowsMessage<CatalogError>(HasSubstr("none.db: no catalog there")));
  std::ofstream(scratch / "file") << "not a database, as SQLite will notice by its first bytes";
  EXPECT_THAT([&] { Catalog(scratch / "file", kWrite); },
              ThrowsMessage<CatalogError>(HasSubstr("file: ")));
  EXPECT_THAT([&] { Catalog(scratch / "file/below/c.db", kWrite); },
              ThrowsMessage<CatalogError>(HasSubstr("creating the catalog's directory")));
  EXPECT_THROW(Catalog(scratch.directory(), kWrite), CatalogError);
}

// Reads as a user who may write neither the file nor its directory: tests may run as root.
TEST(Database, IsReadFromAStoreThatCannotBeWritten) {
  Scratch scratch;
  const auto file = scratch / "a?b#c%d.db";
  { Catalog(file, kWrite).add_trace({"/x", "true", {}}); }
  ASSERT_FALSE(std::filesystem::exists(file.string() + "-wal"));
  ASSERT_EQ(chmod(file.c_str(), 0444), 0);
  ASSERT_EQ(chmod(scratch.directory().c_str(), 0555), 0);
  const bool root = geteuid() == 0;
  if (root) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  EXPECT_THROW(Catalog(file, kWrite), CatalogError);
  size_t traces = 0;
  EXPECT_NO_THROW(traces = Catalog(file, kRead).traces().size());
  EXPECT_EQ(traces, 1u);
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  ASSERT_EQ(chmod(scratch.directory().c_str(), 0700), 0);
}

TEST(Database, RefusesAllButReading) {
  Scratch scratch;
  Catalog catalog(scratch / "c.db", kWrite);
  catalog.add_trace({"/x", "true", {}});
  Database& database = catalog.database();
  database.refuse_all_but_reading();
  for (const char* sql :
       {"DELETE FROM traces", "DROP TABLE traces", "ATTACH '/tmp/x' AS x", "CREATE TABLE x(y)",
        "PRAGMA journal_mode = DELETE", "PRAGMA user_version = 3", "BEGIN", "VACUUM",
        "WITH a AS (SELECT 1) UPDATE traces SET command = 'x'"})
    EXPECT_THAT([&] { Statement(database, sql); },
                ThrowsMessage<CatalogError>(HasSubstr("only SELECT is allowed")))
        << sql;
  for (const char* sql :
       {"SELECT count(*) FROM traces", "SELECT * FROM traces_view; -- and a comment",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 9) SELECT x "
        "FROM n",
        "SELECT value FROM json_each('[1]')", "PRAGMA table_info(traces)", "VALUES(1)",
        "EXPLAIN SELECT 1"})
    EXPECT_TRUE(Statement(database, sql).step()) << sql;
}

TEST(Database, TakesOneStatement) {
  Scratch scratch;
  Database database(scratch / "c.db", kWrite);
  EXPECT_THAT([&] { Statement(database, "SELECT 1; SELECT 2"); },
              ThrowsMessage<CatalogError>(HasSubstr("one statement at a time")));
  EXPECT_THAT([&] { Statement(database, "  -- nothing"); },
              ThrowsMessage<CatalogError>(HasSubstr("no statement")));
  EXPECT_THAT([&] { Statement(database, "SELEKT 1"); },
              ThrowsMessage<CatalogError>(HasSubstr("syntax error")));
}

TEST(Database, GivesValuesAsTheyAre) {
  Scratch scratch;
  Database database(scratch / "c.db", kWrite);
  Statement s(database, "SELECT -1, 1.5, 'a', x'00ff', NULL, ?");
  ASSERT_TRUE(s.bind(1, std::string_view("b\0c", 3)).step());
  ASSERT_EQ(s.columns(), 6);
  EXPECT_EQ(s.integer(0), -1);
  EXPECT_EQ(s.real(1), 1.5);
  EXPECT_EQ(s.text(2), "a");
  EXPECT_EQ(s.type(3), Statement::Type::blob);
  EXPECT_EQ(s.text(3), std::string("\0\xff", 2));
  EXPECT_EQ(s.text_if(4), std::nullopt);
  EXPECT_EQ(s.text(5), std::string("b\0c", 3));
  EXPECT_FALSE(s.step());
}

}  // namespace
}  // namespace heddle
