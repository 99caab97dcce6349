// An invocation of a verb, as the catalog keeps it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/trace_location.h"
#include "trace_format/catalog/catalog.h"
#include "trace_format/catalog/pending_recordings.h"

namespace heddle::cli {

// What the verb does never depends on the catalog: where the catalog fails, one warning line is
// printed and the rest is left out of it. Nothing here throws.
class CataloguedRun {
 public:
  explicit CataloguedRun(std::string verb, std::optional<uint64_t> seed = {});
  // One that is entered beside the catalog, and has begun.
  explicit CataloguedRun(std::unique_ptr<PendingRecording> entered);
  CataloguedRun(const CataloguedRun&) = delete;
  CataloguedRun& operator=(const CataloguedRun&) = delete;

  void begin(std::optional<TraceId> trace, std::optional<FindingId> finding = {});
  void begin(const TraceLocation& location) { begin(location.trace, location.finding); }
  // In a word or a line. A run that is not ended counts as killed.
  void end(const std::string& outcome);

  // Something more for the catalog, while it has not failed. False where it failed, now or before.
  bool attempt(const std::function<void(Catalog&)>& act);

  std::optional<RunId> id() const { return id_; }

 private:
  std::string verb_;
  std::optional<uint64_t> seed_;
  std::unique_ptr<PendingRecording> entered_;  // or
  std::unique_ptr<Catalog> catalog_;
  std::optional<RunId> id_;
};

}  // namespace heddle::cli
