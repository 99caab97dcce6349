#include "trace_format/catalog/migrations.h"

#include <array>

namespace heddle {
namespace {

constexpr int64_t kNoApplication = 0;

std::array<const char*, 1> steps_of_this_version() {
  return {kSchema};
}

int64_t number(Database& database, const char* sql) {
  Statement statement(database, sql);
  return statement.step() ? statement.integer(0) : 0;
}

}  // namespace

std::span<const char* const> catalog_steps() {
  static const auto steps = steps_of_this_version();
  return steps;
}

int64_t checked_version(Database& database, std::span<const char* const> steps) {
  const int64_t application = number(database, "PRAGMA application_id");
  const int64_t version = number(database, "PRAGMA user_version");
  const bool empty = application == kNoApplication && version == 0 &&
                     number(database, "SELECT count(*) FROM sqlite_schema") == 0;
  if (application != kCatalogApplication && !empty)
    throw CatalogError(database.path() +
                       ": a database of another program, not a catalog of heddle; name another "
                       "file with --catalog or HEDDLE_CATALOG");
  if (version < 0 || version > static_cast<int64_t>(steps.size()))
    throw CatalogError(database.path() + ": a catalog of version " + std::to_string(version) +
                       ", this heddle knows up to " + std::to_string(steps.size()) +
                       "; use a newer heddle, or another catalog (--catalog, HEDDLE_CATALOG)");
  return version;
}

void migrate(Database& database, std::span<const char* const> steps) {
  if (checked_version(database, steps) == static_cast<int64_t>(steps.size())) return;
  Transaction transaction(database);
  // Again, now that nobody else can: another process may have migrated in between.
  const auto version = static_cast<size_t>(checked_version(database, steps));
  if (version == 0) database.run("PRAGMA application_id = " + std::to_string(kCatalogApplication));
  for (const char* step : steps.subspan(version)) database.run(step);
  database.run("PRAGMA user_version = " + std::to_string(steps.size()));
  transaction.commit();
}

}  // namespace heddle
