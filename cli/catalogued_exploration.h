// An exploration's results as rows of the catalog.
#pragma once

#include <string>
#include <vector>

#include "cli/catalogued_run.h"
#include "explorer/exploration.h"

namespace heddle::cli {

// What is found does not depend on the catalog: see CataloguedRun.
class CataloguedExploration {
 public:
  CataloguedExploration(const std::string& verb, const TraceLocation& location,
                        std::optional<uint64_t> seed);
  // Without ended(): the run failed.
  ~CataloguedExploration();
  CataloguedExploration(const CataloguedExploration&) = delete;
  CataloguedExploration& operator=(const CataloguedExploration&) = delete;

  void analysed(const AnalysedRun& run, const Symbols& symbols);
  void tried(uint64_t number, const RunOutcome& outcome);

  // `store` writes the finding's trace into the empty directory that it is given; its exceptions
  // pass through. The trace is then the store's f1, f2, ...; a finding with the same fingerprint
  // that is there already gives way to it. Returns that id.
  std::string found(const Finding& finding,
                    const std::function<void(const std::filesystem::path&)>& store);

  void ended(const std::string& outcome);

 private:
  void flush();

  CataloguedRun run_;
  std::optional<TraceId> trace_;
  std::string program_;
  std::vector<TriedSchedule> tried_;
  bool ended_ = false;
};

}  // namespace heddle::cli
