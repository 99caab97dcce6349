// Recordings and replays that were entered beside the catalog become rows of it.
#include "trace_format/catalog/catalog.h"
#include "trace_format/catalog/pending_recordings.h"

namespace heddle {
namespace {

bool has(Database& database, const char* sql, int64_t id) {
  Statement find(database, sql);
  return find.bind(1, id).step();
}

// The rows of what has begun; the same again where they are there already.
void begin(Database& database, TraceId id, const PendingEntry& recording) {
  if (!has(database, "SELECT 1 FROM traces WHERE id = ?", id)) {
    const std::string path = recording.path;
    Statement insert(database,
                     "INSERT INTO traces(id, path, recorded_at, command) VALUES(?,?,?,?)");
    insert.bind(1, id).bind(2, path).bind(3, recording.started).bind(4, recording.command);
    insert.execute();
  }
  if (!has(database, "SELECT 1 FROM runs WHERE verb = 'record' AND trace = ?", id)) {
    Statement insert(database, "INSERT INTO runs(verb, trace, started) VALUES('record', ?, ?)");
    insert.bind(1, id).bind(2, recording.started).execute();
  }
}

// One that is under way is taken over when it is over.
void add_replay(Database& database, const PendingEntry& replay) {
  const std::string path = replay.path;
  Statement insert(database,
                   "INSERT INTO runs(verb, trace, finding, started, duration, outcome) "
                   "VALUES('replay', "
                   "(SELECT id FROM traces WHERE path = ?1 ORDER BY id DESC LIMIT 1), "
                   "(SELECT id FROM findings WHERE path = ?1 ORDER BY id DESC LIMIT 1), "
                   "?2, max(0, ?3 - ?2), ?4)");
  std::optional<int64_t> at;
  std::optional<std::string> outcome;
  if (replay.end) {
    at = replay.end->at;
    outcome = replay.end->outcome;
  }
  insert.bind(1, path).bind(2, replay.started);
  insert.bind_or_null(3, at).bind_or_null(4, outcome).execute();
}

}  // namespace

void Catalog::take_over_pending() {
  PendingRecordings pending(database_.path());
  if (!pending.prepared()) {
    Transaction transaction(database_);
    if (!pending.prepared()) pending.prepare(next_id("traces", 1));
    transaction.commit();
  }
  if (!pending.any()) return;
  auto entries = pending.entries();
  try {
    Transaction transaction(database_);
    for (const auto& [id, recording, over, fd, file] : entries) {
      if (id == 0) continue;
      begin(database_, id, recording);
      if (!recording.end) continue;
      const auto& end = *recording.end;
      if (end.end) finish_trace(id, *end.end);
      Statement update(database_,
                       "UPDATE runs SET duration = max(0, ? - started), outcome = ? "
                       "WHERE verb = 'record' AND trace = ?");
      update.bind(1, end.at).bind(2, end.outcome).bind(3, id).execute();
      if (!end.kept) remove_trace(id);
    }
    // Of traces that are rows by now.
    for (const auto& entry : entries)
      if (entry.id == 0 && entry.over) add_replay(database_, entry.recording);
    transaction.commit();
  } catch (const CatalogError&) {
    pending.forget(entries, false);
    throw;
  }
  pending.forget(entries, true);
}

}  // namespace heddle
