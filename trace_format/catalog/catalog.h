// The database of traces, runs, schedules, races and findings.
//
// One SQLite file that many processes use at once: every call is one transaction of its own, and a
// writer waits for the others. schema.sql says what the columns mean. All calls throw CatalogError.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "trace_format/catalog/database.h"
#include "trace_format/finding.h"
#include "trace_format/place.h"

namespace heddle {

using TraceId = int64_t;    // 1 is shown as t1
using FindingId = int64_t;  // 1 is shown as f1
using RunId = int64_t;
using RaceId = int64_t;

// Milliseconds since 1970, UTC.
using UnixMilliseconds = int64_t;
UnixMilliseconds unix_now();

// How the catalog writes a path, one text for one directory: absolute, without links or a slash at
// the end.
std::string catalog_path_text(const std::filesystem::path& path);

struct NewTrace {
  std::filesystem::path path;  // made absolute
  std::string command;         // as a shell would take it
  std::optional<TraceId> parent;
};

// How a recording ended.
struct TraceEnd {
  int status = 0;  // wait(2)'s status word
  uint64_t events = 0;
  uint64_t bytes = 0;
  Ticks ticks = 0;
  std::optional<std::string> tainted;  // why
};

struct TraceRow {
  bool operator==(const TraceRow&) const = default;
  TraceId id = 0;
  std::filesystem::path path;
  UnixMilliseconds recorded_at = 0;
  std::string command;
  std::optional<int64_t> exit_code, signal;     // neither: not seen to end
  std::optional<int64_t> events, bytes, ticks;  // likewise
  std::optional<std::string> tainted;
  std::optional<TraceId> parent;
};

struct NewRun {
  std::string verb;
  std::optional<TraceId> trace;
  std::optional<FindingId> finding;
  std::optional<uint64_t> seed;
};

// A schedule that an exploration ran.
struct TriedSchedule {
  uint64_t number = 0;  // from 1, in its run
  std::string text;     // Schedule::text()
  std::string verdict;
  std::string reason;
  uint64_t steps = 0;
};

// One side of a race. The site's function, file and line are those of `stack`'s first frame.
struct RacingAccess {
  std::string kind;  // read, write, update, locked
  Place place;
  uint64_t address = 0;
  uint32_t size = 0;              // bytes
  std::vector<StackFrame> stack;  // innermost first, the site at least
};

struct NewRace {
  RacingAccess first, second;
  uint64_t count = 0;  // pairs seen
};

struct NewFinding {
  Finding finding;
  std::string title;             // a line
  std::string program;           // the executable's file name: stays when it is built anew
  std::optional<TraceId> trace;  // the recording it was found from
};

struct FindingRow {
  FindingId id = 0;
  std::optional<TraceId> trace;
  std::filesystem::path path;  // of its own trace, which holds the whole Finding
  std::string verdict, title;
  UnixMilliseconds first_seen = 0, last_seen = 0;
  int64_t count = 0;  // times seen
};

// A read-only catalog of an older version: it must be opened for writing once.
class OutdatedCatalog : public CatalogError {
 public:
  using CatalogError::CatalogError;
};

class Catalog {
 public:
  // Opens and, where it may write, brings the schema up to date and takes over the recordings that
  // were made meanwhile (pending_recordings.h). Throws OutdatedCatalog where it may not write and
  // would have to for the schema.
  Catalog(const std::filesystem::path& file, Database::Mode mode);

  // A row for a trace whose recording begins. Its id is at least `least`, so that a directory named
  // after it can be made in a store that other catalogs use too. finish_trace() completes the row,
  // remove_trace() takes back one whose program could not be started.
  TraceId add_trace(const NewTrace& trace, TraceId least = 1);
  void set_path(TraceId id, const std::filesystem::path& path);
  void finish_trace(TraceId id, const TraceEnd& end);
  void remove_trace(TraceId id);

  RunId begin_run(const NewRun& run);
  // `outcome` in a word or a line: "ended", "found 1", what went wrong.
  void end_run(RunId id, const std::string& outcome);
  // All or none.
  void add_schedules(RunId run, std::span<const TriedSchedule> schedules);

  // The same two sites in the same trace are one row: the later call's.
  RaceId add_race(TraceId trace, const NewRace& race);

  // Adds a finding, or updates the one of that program with its fingerprint: that keeps its id and
  // first_seen, and its count goes up. A new one's id is at least `least`, as in add_trace().
  // `store` is called while no other process can write, with the id and where the known finding's
  // trace is; it puts the finding's trace in its place and returns its path. Where it throws,
  // nothing changes.
  using StoreFinding = std::function<std::filesystem::path(
      FindingId id, const std::optional<std::filesystem::path>& known)>;
  FindingId add_finding(const NewFinding& finding, const StoreFinding& store, FindingId least = 1);

  std::optional<TraceRow> find_trace(TraceId id);
  // The newest of them where a directory was used again.
  std::optional<TraceRow> find_trace(const std::filesystem::path& path);
  std::optional<TraceRow> latest_trace();
  std::vector<TraceRow> traces();  // newest first
  std::optional<FindingRow> find_finding(FindingId id);
  std::optional<FindingRow> find_finding(const std::filesystem::path& path);
  std::vector<FindingRow> findings();  // last seen first

  void remove_finding(FindingId id);

  // For queries of a user's own.
  Database& database() { return database_; }

 private:
  int64_t next_id(std::string_view table, int64_t least);
  void take_over_pending();
  std::optional<int64_t> add_stack(const std::vector<StackFrame>& stack);
  int64_t add_access(const RacingAccess& access);
  void set_sides(FindingId id, const std::vector<FindingSide>& sides);

  Database database_;
};

}  // namespace heddle
