// Traces that this catalog did not see recorded: from another machine, say.
#pragma once

#include "trace_format/catalog/catalog.h"

namespace heddle::cli {

// Adds a row for the trace, from what is in it; its id is at least `least`. Throws TraceError,
// CatalogError.
TraceId import_trace(Catalog& catalog, const std::filesystem::path& path, TraceId least = 1);

}  // namespace heddle::cli
