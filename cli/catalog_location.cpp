#include "cli/catalog_location.h"

#include <cstdlib>

#include "trace_format/catalog/pending_recordings.h"

namespace heddle::cli {

namespace fs = std::filesystem;

namespace {

// The command line's; one for the process.
std::string& chosen() {
  static std::string path;
  return path;
}

}  // namespace

void add_catalog_option(CLI::App& app) {
  app.add_option("--catalog", chosen(), "The catalog's file (else HEDDLE_CATALOG)");
  app.fallthrough();
}

fs::path catalog_path() {
  if (!chosen().empty()) return chosen();
  if (const char* file = std::getenv("HEDDLE_CATALOG"); file && *file) return file;
  if (const char* data = std::getenv("XDG_DATA_HOME"); data && *data)
    return fs::path(data) / "heddle/catalog.db";
  const char* home = std::getenv("HOME");
  if (!home || !*home)
    throw CatalogError("no place for the catalog: set HEDDLE_CATALOG, or HOME, or give --catalog");
  return fs::path(home) / ".local/share/heddle/catalog.db";
}

std::unique_ptr<Catalog> open_catalog_to_read() {
  const auto path = catalog_path();
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return nullptr;
  if (PendingRecordings(path).any()) {
    try {
      Catalog(path, Database::Mode::read_write);
    } catch (const CatalogError&) {
      // They show when somebody may write.
    }
  }
  try {
    return std::make_unique<Catalog>(path, Database::Mode::read_only);
  } catch (const OutdatedCatalog&) {
    const Catalog brought_up_to_date(path, Database::Mode::read_write);
    return std::make_unique<Catalog>(path, Database::Mode::read_only);
  }
}

}  // namespace heddle::cli
