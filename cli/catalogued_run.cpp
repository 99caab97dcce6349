#include "cli/catalogued_run.h"

#include <cstdio>

#include "cli/catalog_location.h"

namespace heddle::cli {
namespace {

void warn(const std::exception& error) {
  std::fprintf(stderr, "heddle: warning: %s; this run is not in the catalog\n", error.what());
}

}  // namespace

CataloguedRun::CataloguedRun(std::string verb, std::optional<uint64_t> seed)
    : verb_(std::move(verb)), seed_(seed) {
  try {
    catalog_ = std::make_unique<Catalog>(catalog_path(), Database::Mode::read_write);
  } catch (const std::exception& error) {
    warn(error);
  }
}

CataloguedRun::CataloguedRun(std::unique_ptr<PendingRecording> entered)
    : entered_(std::move(entered)) {}

bool CataloguedRun::attempt(const std::function<void(Catalog&)>& act) {
  if (!catalog_) return false;
  try {
    act(*catalog_);
    return true;
  } catch (const std::exception& error) {
    warn(error);
    catalog_.reset();
    return false;
  }
}

void CataloguedRun::begin(std::optional<TraceId> trace, std::optional<FindingId> finding) {
  attempt([&](Catalog& catalog) { id_ = catalog.begin_run({verb_, trace, finding, seed_}); });
}

void CataloguedRun::end(const std::string& outcome) {
  if (entered_) {
    try {
      entered_->end({unix_now(), outcome, true, {}});
    } catch (const std::exception& error) {
      warn(error);
    }
    entered_.reset();
  }
  if (id_) attempt([&](Catalog& catalog) { catalog.end_run(*id_, outcome); });
}

}  // namespace heddle::cli
