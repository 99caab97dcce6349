#include "cli/catalogued_exploration.h"

#include <cstdlib>
#include <system_error>

#include "cli/imported_trace.h"
#include "explorer/report/finding_text.h"

namespace heddle::cli {

namespace fs = std::filesystem;

namespace {

constexpr size_t kBatch = 256;  // schedules a transaction

std::string kind_name(AccessKind kind) {
  switch (kind) {
    case AccessKind::read:
      return "read";
    case AccessKind::write:
      return "write";
    case AccessKind::update:
      return "update";
    case AccessKind::locked:
      return "locked";
  }
  return "?";
}

RacingAccess racing(const Access& access, const Symbols& symbols) {
  const uint64_t pc = access.place.pc;
  const Site site = symbols.locate(pc);
  return {kind_name(access.kind),
          access.place,
          access.address,
          access.size,
          {{pc, site.function, site.file, site.line, site.module}}};
}

// The file name of the program that a trace is of.
std::string program_of(const fs::path& trace) {
  const auto first = TraceReader(trace).next();
  const auto* exec = first ? std::get_if<event::Exec>(&first->body) : nullptr;
  return exec ? fs::path(exec->path).filename().string() : "";
}

// Where a finding's trace is written before it has an id.
fs::path unnamed_directory() {
  std::string name = (trace_store() / ".finding-XXXXXX").string();
  fs::create_directories(trace_store());
  if (!mkdtemp(name.data()))
    throw std::system_error(errno, std::generic_category(), "making a directory for a finding");
  return name;
}

// Without a catalog: one more than the highest in the store.
fs::path numbered_by_store(const fs::path& fresh) {
  for (int64_t number = next_number(trace_store(), 'f');; ++number) {
    auto place = trace_store() / ("f" + std::to_string(number));
    if (!claim_directory(place)) continue;
    fs::rename(fresh, place);
    return place;
  }
}

}  // namespace

CataloguedExploration::CataloguedExploration(const std::string& verb, const TraceLocation& location,
                                             std::optional<uint64_t> seed)
    : run_(verb, seed), trace_(location.trace), program_(program_of(location.path)) {
  run_.attempt([&](Catalog& catalog) {
    if (location.finding)
      trace_ = catalog.find_finding(*location.finding)->trace;
    else if (!trace_)
      trace_ = import_trace(catalog, location.path);
  });
  run_.begin(trace_, location.finding);
}

CataloguedExploration::~CataloguedExploration() {
  if (!ended_) ended("failed");
}

void CataloguedExploration::analysed(const AnalysedRun& run, const Symbols& symbols) {
  if (!trace_) return;
  run_.attempt([&](Catalog& catalog) {
    for (const auto& race : run.races)
      catalog.add_race(*trace_,
                       {racing(race.first, symbols), racing(race.second, symbols), race.count});
  });
}

void CataloguedExploration::tried(uint64_t number, const RunOutcome& outcome) {
  tried_.push_back({number, outcome.schedule.text(), std::string(name(outcome.verdict)),
                    outcome.reason, outcome.schedule.steps.size()});
  if (tried_.size() >= kBatch) flush();
}

void CataloguedExploration::flush() {
  if (run_.id()) run_.attempt([&](Catalog& catalog) { catalog.add_schedules(*run_.id(), tried_); });
  tried_.clear();
}

std::string CataloguedExploration::found(const Finding& finding,
                                         const std::function<void(const fs::path&)>& store) {
  const fs::path fresh = unnamed_directory();
  try {
    store(fresh);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(fresh, ignored);
    throw;
  }
  fs::path place;
  const bool catalogued = run_.attempt([&](Catalog& catalog) {
    const auto put = [&](FindingId id, const std::optional<fs::path>& known) {
      place = fs::canonical(trace_store()) / ("f" + std::to_string(id));
      // Anything else that is there stays: another catalog's finding.
      if (known == place) fs::remove_all(place);
      fs::rename(fresh, place);
      return place;
    };
    catalog.add_finding({finding, report::finding_line(finding), program_, trace_}, put,
                        next_number(trace_store(), 'f'));
  });
  if (!catalogued && fs::exists(fresh)) place = numbered_by_store(fresh);
  return place.filename();
}

void CataloguedExploration::ended(const std::string& outcome) {
  flush();
  run_.end(outcome);
  ended_ = true;
}

}  // namespace heddle::cli
