#include "cli/catalogued_recording.h"

#include <sys/wait.h>

#include <cstdio>

#include "cli/catalog_location.h"
#include "cli/command_text.h"

namespace heddle::cli {

namespace fs = std::filesystem;

CataloguedRecording::CataloguedRecording(const fs::path& directory,
                                         const std::vector<std::string>& command) {
  const std::string text = command_text(command);
  if (!directory.empty()) {
    directory_ = directory;
    was_there_ = fs::exists(directory);
    if (was_there_ && !(fs::is_directory(directory) && fs::is_empty(directory)))
      throw std::runtime_error(directory.string() +
                               ": not an empty directory; give a new one to -o");
  }
  const fs::path store = directory.empty() ? trace_store() : fs::path();
  if (enter(store, text)) return;
  run_.emplace("record");
  if (directory.empty())
    name_after_id(store, text);
  else
    run_->attempt([&](Catalog& catalog) { id_ = catalog.add_trace({directory, text, {}}); });
  run_->begin(id_);
}

// Beside the catalog; false where that cannot be. `store`: the trace goes there; empty: elsewhere.
bool CataloguedRecording::enter(const fs::path& store, const std::string& command) {
  try {
    const auto catalog = catalog_path();
    int64_t least = store.empty() ? 1 : next_number(store, 't');
    std::optional<TraceId> id;
    while (true) {
      id = PendingRecording::reserve(catalog, least);
      if (!id) return false;
      if (store.empty()) break;
      directory_ = store / ("t" + std::to_string(*id));
      if (claim_directory(directory_)) break;
      least = *id + 1;
    }
    try {
      pending_ = std::make_unique<PendingRecording>(catalog, *id, directory_, command);
      return true;
    } catch (const CatalogError&) {
      if (!store.empty()) fs::remove(directory_);
      return false;  // opening the catalog tells what is wrong
    }
  } catch (const CatalogError&) {
    return false;
  }
}

// Other catalogs may know traces of the store, and other stores may hold traces of the catalog: a
// number is taken that is free in both.
void CataloguedRecording::name_after_id(const fs::path& store, const std::string& command) {
  int64_t number = next_number(store, 't');
  while (true) {
    run_->attempt([&](Catalog& catalog) {
      id_.reset();
      number = catalog.add_trace({store, command, {}}, number);
      id_ = number;
    });
    directory_ = store / ("t" + std::to_string(number));
    if (claim_directory(directory_)) break;
    if (id_) run_->attempt([&](Catalog& catalog) { catalog.remove_trace(*id_); });
    ++number;
  }
  if (id_) run_->attempt([&](Catalog& catalog) { catalog.set_path(*id_, directory_); });
}

void CataloguedRecording::is_latest() {
  try {
    point_latest(trace_store(), directory_);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "heddle: warning: %s; 'latest' is not this trace\n", error.what());
  }
}

void CataloguedRecording::end(const std::string& outcome, const std::optional<TraceEnd>& end) {
  if (run_) {
    if (id_ && end) run_->attempt([&](Catalog& catalog) { catalog.finish_trace(*id_, *end); });
    run_->end(outcome);
    return;
  }
  ended_.at = unix_now();
  ended_.outcome = outcome;
  ended_.end = end;
}

void CataloguedRecording::finished(const TraceEnd& end) {
  this->end(WIFSIGNALED(end.status) ? "signal " + std::to_string(WTERMSIG(end.status))
                                    : "exit " + std::to_string(WEXITSTATUS(end.status)),
            end);
}

void CataloguedRecording::failed(const std::string& why) {
  end(why);
}

void CataloguedRecording::withdraw() {
  remove();
  end("not started");
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
  ended_.kept = false;
  if (id_) run_->attempt([&](Catalog& catalog) { catalog.remove_trace(*id_); });
}

CataloguedRecording::~CataloguedRecording() {
  if (!pending_) return;
  try {
    pending_->end(ended_);
  } catch (const CatalogError& error) {
    std::fprintf(stderr, "heddle: warning: %s; this run is not in the catalog\n", error.what());
  }
}

}  // namespace heddle::cli
