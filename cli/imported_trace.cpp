#include "cli/imported_trace.h"

#include <map>

#include "cli/command_text.h"
#include "trace_format/reader.h"

namespace heddle::cli {

TraceId import_trace(Catalog& catalog, const std::filesystem::path& path, TraceId least) {
  TraceReader trace(path);
  NewTrace row{path, {}, {}};
  TraceEnd end;
  bool ended = false;
  std::map<TaskId, Ticks> ticks;
  while (const auto event = trace.next()) {
    ++end.events;
    ticks[event->place.task] = event->place.ticks;
    if (const auto* exec = std::get_if<event::Exec>(&event->body)) {
      if (row.command.empty()) row.command = command_text(exec->arguments);
    } else if (const auto* taint = std::get_if<event::Taint>(&event->body)) {
      if (!end.tainted) end.tainted = taint->reason;
    } else if (const auto* exit = std::get_if<event::ProcessExit>(&event->body)) {
      // The first process's, where its first thread ended it; else that of the first to end.
      if (!ended || event->place.task == 1) end.status = exit->status;
      ended = true;
    }
  }
  for (const auto& [task, count] : ticks) end.ticks += count;
  end.bytes = std::filesystem::file_size(path / "events");
  const TraceId id = catalog.add_trace(row, least);
  if (ended) catalog.finish_trace(id, end);
  return id;
}

}  // namespace heddle::cli
