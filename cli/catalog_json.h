// Rows of the catalog as JSON, the same in every verb.
#pragma once

#include <nlohmann/json.hpp>

#include "trace_format/catalog/catalog.h"

namespace heddle::cli {

// Times are milliseconds since 1970; what the catalog does not know is null.
nlohmann::ordered_json json_of(const TraceRow& trace);
nlohmann::ordered_json json_of(const FindingRow& finding);

// To standard output, indented; bytes that are no UTF-8 as U+FFFD.
void print_json(const nlohmann::ordered_json& json);

}  // namespace heddle::cli
