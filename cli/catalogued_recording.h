// A recording's directory, and its row in the catalog or its entry beside it.
#pragma once

#include "cli/catalogued_run.h"
#include "trace_format/catalog/pending_recordings.h"

namespace heddle::cli {

class CataloguedRecording {
 public:
  // The trace goes to `directory`, or, where that is empty, to a new one of the store that is named
  // after the trace's id. Throws where the directory cannot be made.
  CataloguedRecording(const std::filesystem::path& directory,
                      const std::vector<std::string>& command);
  ~CataloguedRecording();
  CataloguedRecording(const CataloguedRecording&) = delete;
  CataloguedRecording& operator=(const CataloguedRecording&) = delete;

  const std::filesystem::path& directory() const { return directory_; }

  // The program was started and the trace is to be kept: it is what `latest` means now.
  void is_latest();
  void finished(const TraceEnd& end);
  // The recorder failed; the trace holds what it had written.
  void failed(const std::string& why);
  // The program could not be started: as if nothing had been asked for.
  void withdraw();
  // It was, but the trace is not worth keeping.
  void discard();

 private:
  void remove();
  void name_after_id(const std::filesystem::path& store, const std::string& command);
  bool enter(const std::filesystem::path& store, const std::string& command);
  void end(const std::string& outcome, const std::optional<TraceEnd>& end = {});

  std::unique_ptr<PendingRecording> pending_;
  PendingEntry::End ended_;           // what pending_ is to say in the end
  std::optional<CataloguedRun> run_;  // where there is no pending_
  std::filesystem::path directory_;
  bool was_there_ = false;
  std::optional<TraceId> id_;
};

}  // namespace heddle::cli
