// Which catalog this invocation uses.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "trace_format/catalog/catalog.h"

namespace heddle::cli {

// --catalog FILE, for every verb.
void add_catalog_option(CLI::App& app);

// --catalog, else HEDDLE_CATALOG, else $XDG_DATA_HOME/heddle/catalog.db, else
// ~/.local/share/heddle/catalog.db. Throws CatalogError where none of them is set.
std::filesystem::path catalog_path();

// For a verb that only reads: nothing where there is no catalog yet. One of an older version is
// brought up to date first. Throws CatalogError.
std::unique_ptr<Catalog> open_catalog_to_read();

}  // namespace heddle::cli
