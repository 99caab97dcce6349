#include "trace_format/catalog/catalog.h"

#include <sys/wait.h>

#include <algorithm>
#include <chrono>

#include "trace_format/catalog/migrations.h"
#include "trace_format/catalog/pending_recordings.h"

namespace heddle {
namespace {

constexpr std::string_view kTraceColumns =
    "SELECT id, path, recorded_at, command, exit_code, signal, events, bytes, ticks, tainted, "
    "parent FROM traces ";
std::string query(std::string_view columns, std::string_view rest) {
  return std::string(columns).append(rest);
}

int64_t signed_of(uint64_t number) {
  return static_cast<int64_t>(number);
}

TraceRow trace_row(const Statement& s) {
  return {s.integer(0),    s.text(1),       s.integer(2),    s.text(3),
          s.integer_if(4), s.integer_if(5), s.integer_if(6), s.integer_if(7),
          s.integer_if(8), s.text_if(9),    s.integer_if(10)};
}

}  // namespace

std::string catalog_path_text(const std::filesystem::path& path) {
  const auto normal = std::filesystem::weakly_canonical(std::filesystem::absolute(path));
  return normal.has_filename() ? normal.string() : normal.parent_path().string();
}

UnixMilliseconds unix_now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Catalog::Catalog(const std::filesystem::path& file, Database::Mode mode) : database_(file, mode) {
  const auto steps = catalog_steps();
  if (mode == Database::Mode::read_write) {
    migrate(database_, steps);
    take_over_pending();
  } else if (const auto version = checked_version(database_, steps);
             version < static_cast<int64_t>(steps.size())) {
    throw OutdatedCatalog(database_.path() + ": a catalog of version " + std::to_string(version) +
                          " that cannot be brought up to date here: it must be writable once");
  }
}

// As AUTOINCREMENT numbers rows, but not below `least`.
int64_t Catalog::next_id(std::string_view table, int64_t least) {
  Statement highest(database_, "SELECT seq FROM sqlite_sequence WHERE name = ?");
  return std::max(least, highest.bind(1, table).step() ? highest.integer(0) + 1 : 1);
}

TraceId Catalog::add_trace(const NewTrace& trace, TraceId least) {
  Transaction transaction(database_);
  const TraceId id = PendingRecordings(database_.path()).reserve(next_id("traces", least));
  const std::string path = catalog_path_text(trace.path);
  Statement insert(database_,
                   "INSERT INTO traces(id, path, recorded_at, command, parent) VALUES(?,?,?,?,?)");
  insert.bind(1, id).bind(2, path).bind(3, unix_now()).bind(4, trace.command);
  insert.bind_or_null(5, trace.parent).execute();
  transaction.commit();
  return id;
}

void Catalog::set_path(TraceId id, const std::filesystem::path& path) {
  const std::string text = catalog_path_text(path);
  Statement update(database_, "UPDATE traces SET path = ? WHERE id = ?");
  update.bind(1, text).bind(2, id).execute();
}

void Catalog::finish_trace(TraceId id, const TraceEnd& end) {
  std::optional<int64_t> exit_code, signal;
  if (WIFSIGNALED(end.status))
    signal = WTERMSIG(end.status);
  else
    exit_code = WEXITSTATUS(end.status);
  Statement update(database_,
                   "UPDATE traces SET exit_code = ?, signal = ?, events = ?, bytes = ?, "
                   "ticks = ?, tainted = ? WHERE id = ?");
  update.bind_or_null(1, exit_code).bind_or_null(2, signal);
  update.bind(3, signed_of(end.events)).bind(4, signed_of(end.bytes));
  update.bind(5, signed_of(end.ticks)).bind_or_null(6, end.tainted).bind(7, id).execute();
}

void Catalog::remove_trace(TraceId id) {
  Statement(database_, "DELETE FROM traces WHERE id = ?").bind(1, id).execute();
}

RunId Catalog::begin_run(const NewRun& run) {
  std::optional<int64_t> seed;
  if (run.seed) seed = signed_of(*run.seed);
  Statement insert(database_,
                   "INSERT INTO runs(verb, trace, finding, seed, started) VALUES(?,?,?,?,?)");
  insert.bind(1, run.verb).bind_or_null(2, run.trace).bind_or_null(3, run.finding);
  insert.bind_or_null(4, seed).bind(5, unix_now()).execute();
  return database_.last_id();
}

void Catalog::end_run(RunId id, const std::string& outcome) {
  Statement update(database_,
                   "UPDATE runs SET duration = max(0, ? - started), outcome = ? WHERE id = ?");
  update.bind(1, unix_now()).bind(2, outcome).bind(3, id).execute();
}

void Catalog::add_schedules(RunId run, std::span<const TriedSchedule> schedules) {
  Transaction transaction(database_);
  Statement insert(database_,
                   "INSERT INTO schedules(run, number, text, verdict, reason, steps) "
                   "VALUES(?,?,?,?,?,?)");
  for (const auto& schedule : schedules) {
    insert.bind(1, run).bind(2, signed_of(schedule.number)).bind(3, schedule.text);
    insert.bind(4, schedule.verdict).bind(5, schedule.reason).bind(6, signed_of(schedule.steps));
    insert.execute();
  }
  transaction.commit();
}

std::optional<TraceRow> Catalog::find_trace(TraceId id) {
  Statement find(database_, query(kTraceColumns, "WHERE id = ?"));
  if (!find.bind(1, id).step()) return std::nullopt;
  return trace_row(find);
}

std::optional<TraceRow> Catalog::find_trace(const std::filesystem::path& path) {
  const std::string text = catalog_path_text(path);
  Statement find(database_, query(kTraceColumns, "WHERE path = ? ORDER BY id DESC LIMIT 1"));
  if (!find.bind(1, text).step()) return std::nullopt;
  return trace_row(find);
}

std::optional<TraceRow> Catalog::latest_trace() {
  Statement find(database_, query(kTraceColumns, "ORDER BY id DESC LIMIT 1"));
  if (!find.step()) return std::nullopt;
  return trace_row(find);
}

std::vector<TraceRow> Catalog::traces() {
  std::vector<TraceRow> rows;
  Statement find(database_, query(kTraceColumns, "ORDER BY id DESC"));
  while (find.step()) rows.push_back(trace_row(find));
  return rows;
}

}  // namespace heddle
