#include "cli/catalog_json.h"

#include <cstdio>

namespace heddle::cli {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

Json json_of(const TraceRow& trace) {
  return {{"id", "t" + std::to_string(trace.id)},
          {"kind", "trace"},
          {"path", trace.path.string()},
          {"there", is_there(trace.path)},
          {"command", trace.command},
          {"recorded_at", trace.recorded_at},
          {"exit", or_null(trace.exit_code)},
          {"signal", or_null(trace.signal)},
          {"tainted", or_null(trace.tainted)},
          {"events", or_null(trace.events)},
          {"bytes", or_null(trace.bytes)},
          {"ticks", or_null(trace.ticks)},
          {"parent", trace.parent ? Json("t" + std::to_string(*trace.parent)) : Json(nullptr)}};
}

Json json_of(const FindingRow& finding) {
  return {{"id", "f" + std::to_string(finding.id)},
          {"kind", "finding"},
          {"path", finding.path.string()},
          {"there", is_there(finding.path)},
          {"trace", finding.trace ? Json("t" + std::to_string(*finding.trace)) : Json(nullptr)},
          {"verdict", finding.verdict},
          {"title", finding.title},
          {"first_seen", finding.first_seen},
          {"last_seen", finding.last_seen},
          {"count", finding.count}};
}

void print_json(const Json& json) {
  std::puts(json.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
}

}  // namespace heddle::cli
