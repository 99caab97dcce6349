// Recordings and replays that are not in the catalog yet. Opening a database takes longer than a
// small program runs: each is entered in a file of its own in a directory beside the catalog, and
// whoever opens the catalog next takes it over.
//
//   CATALOG.pending/next   the number that the next trace gets at least
//   CATALOG.pending/tN     trace N; its recorder holds a lock on it (flock) while it records
//   CATALOG.pending/r*     a replay; likewise
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trace_format/catalog/catalog.h"

namespace heddle {

// What there is to say about a recording, or a replay, which has neither command nor trace's end.
struct PendingEntry {
  UnixMilliseconds started = 0;
  std::filesystem::path path;  // of the trace
  std::string command;
  // Nothing: it is under way, or its recorder was killed.
  struct End {
    UnixMilliseconds at = 0;
    std::string outcome;          // of the run
    bool kept = true;             // the trace is there
    std::optional<TraceEnd> end;  // nothing: the recorder failed
  };
  std::optional<End> end;
};

// The recorder's side: one entry, from the beginning of the recording to its end. Throws
// CatalogError.
class PendingRecording {
 public:
  // The next number that is free, `least` at least; nothing where the catalog must be opened: it is
  // not there yet, not one of this version's, or has no directory for pending recordings.
  static std::optional<TraceId> reserve(const std::filesystem::path& catalog, TraceId least);

  // Enters the recording `id`. The trace's directory is made already.
  PendingRecording(const std::filesystem::path& catalog, TraceId id,
                   const std::filesystem::path& trace, const std::string& command);
  // Enters a replay of that trace; nothing where the catalog must be opened, as above.
  static std::unique_ptr<PendingRecording> replay(const std::filesystem::path& catalog,
                                                  const std::filesystem::path& trace);
  ~PendingRecording();
  PendingRecording(const PendingRecording&) = delete;
  PendingRecording& operator=(const PendingRecording&) = delete;

  void end(const PendingEntry::End& end);

 private:
  PendingRecording(const std::filesystem::path& directory, const std::string& name,
                   const std::filesystem::path& trace, const std::string& command);
  void write(const std::string& text);

  std::filesystem::path file_;
  int fd_ = -1;
};

// The catalog's side.
class PendingRecordings {
 public:
  explicit PendingRecordings(const std::filesystem::path& catalog);

  bool prepared() const;
  // Makes the directory if it can. `next`: the first number that the catalog knows to be free;
  // nobody else may write to the catalog meanwhile.
  void prepare(TraceId next);
  // A number that is free here as well, and nobody else's from now on.
  TraceId reserve(TraceId least);
  bool any() const;

  struct Entry {
    TraceId id = 0;  // 0: of a replay
    PendingEntry recording;
    bool over = false;  // nobody will add to it
    int fd = -1;        // holds the lock
    std::filesystem::path file;
  };
  // Those that can be read, by number: replays first. forget() closes them; `taken_over`: they are
  // in the catalog.
  std::vector<Entry> entries() const;
  void forget(std::vector<Entry>& entries, bool taken_over);

 private:
  std::filesystem::path directory_;
};

}  // namespace heddle
