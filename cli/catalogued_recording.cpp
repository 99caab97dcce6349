#include "cli/catalogued_recording.h"

#include <sys/wait.h>

#include <cstdio>

#include "cli/command_text.h"

namespace heddle::cli {

namespace fs = std::filesystem;

CataloguedRecording::CataloguedRecording(const fs::path& directory,
                                         const std::vector<std::string>& command)
    : run_("record") {
  if (directory.empty()) {
    name_after_id(trace_store(), command_text(command));
  } else {
    directory_ = directory;
    was_there_ = fs::exists(directory);
    if (was_there_ && !(fs::is_directory(directory) && fs::is_empty(directory)))
      throw std::runtime_error(directory.string() +
                               ": not an empty directory; give a new one to -o");
    run_.attempt([&](Catalog& catalog) {
      id_ = catalog.add_trace({directory, command_text(command), {}});
    });
  }
  run_.begin(id_);
}

// Other catalogs may know traces of the store, and other stores may hold traces of the catalog: a
// number is taken that is free in both.
void CataloguedRecording::name_after_id(const fs::path& store, const std::string& command) {
  int64_t number = next_number(store, 't');
  while (true) {
    run_.attempt([&](Catalog& catalog) {
      id_.reset();
      number = catalog.add_trace({store, command, {}}, number);
      id_ = number;
    });
    directory_ = store / ("t" + std::to_string(number));
    if (claim_directory(directory_)) break;
    if (id_) run_.attempt([&](Catalog& catalog) { catalog.remove_trace(*id_); });
    ++number;
  }
  if (id_) run_.attempt([&](Catalog& catalog) { catalog.set_path(*id_, directory_); });
}

void CataloguedRecording::is_latest() {
  try {
    point_latest(trace_store(), directory_);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "heddle: warning: %s; 'latest' is not this trace\n", error.what());
  }
}

void CataloguedRecording::finished(const TraceEnd& end) {
  if (id_) run_.attempt([&](Catalog& catalog) { catalog.finish_trace(*id_, end); });
  run_.end(WIFSIGNALED(end.status) ? "signal " + std::to_string(WTERMSIG(end.status))
                                   : "exit " + std::to_string(WEXITSTATUS(end.status)));
}

void CataloguedRecording::failed(const std::string& why) {
  run_.end(why);
}

void CataloguedRecording::withdraw() {
  remove();
  run_.end("not started");
}

void CataloguedRecording::discard() {
  remove();
}

void CataloguedRecording::remove() {
  // It was empty, or not there.
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory_, ignored))
    fs::remove_all(entry.path(), ignored);
  if (!was_there_) fs::remove(directory_, ignored);
  if (id_) run_.attempt([&](Catalog& catalog) { catalog.remove_trace(*id_); });
}

}  // namespace heddle::cli
