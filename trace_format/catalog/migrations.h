// Brings a catalog's schema up to date.
#pragma once

#include <span>
#include <string_view>

#include "trace_format/catalog/database.h"

namespace heddle {

// schema.sql.
extern const char* const kSchema;

// Step i takes a database of version i to version i + 1; version 0 is an empty database. Released
// steps never change.
std::span<const char* const> catalog_steps();

// What PRAGMA application_id of a catalog is: "hdCT".
inline constexpr int64_t kCatalogApplication = 0x68644354;

// Throws CatalogError where the database is not a catalog or of a later version than the last of
// `steps`.
int64_t checked_version(Database& database, std::span<const char* const> steps);

// Applies the steps that are missing, all or none. Many processes may do so at once: one migrates,
// the others find it done.
void migrate(Database& database, std::span<const char* const> steps);

}  // namespace heddle
