#include "explorer/model/open_files.h"

#include <fcntl.h>
#include <sys/epoll.h>

namespace heddle::model {

OpenFiles::OpenFiles(const Recording& recording) {
  for (const auto& [descriptor, object] : recording.inherited()) {
    OpenFile file;
    file.object = object;
    file.flags = O_RDWR;
    if (object == kStandardOutput || object == kStandardError)
      file.what = Output{object == kStandardOutput ? 1 : 2};
    files_[++last_file_] = std::move(file);
    assign(descriptor, last_file_, false);
  }
}

void OpenFiles::copy_table(TableId from, TableId to) {
  const Table& copied = tables_[to] = tables_.at(from);
  for (const auto& [number, descriptor] : copied) retain(descriptor.file);
}

void OpenFiles::close_marked(TableId table) {
  std::vector<FileId> closed;
  std::erase_if(tables_.at(table), [&](const auto& entry) {
    if (entry.second.close_on_exec) closed.push_back(entry.second.file);
    return entry.second.close_on_exec;
  });
  for (const FileId file : closed) release(file);
}

void OpenFiles::drop_table(TableId table) {
  const auto node = tables_.extract(table);
  if (node.empty()) return;
  for (const auto& [number, descriptor] : node.mapped()) release(descriptor.file);
}

std::optional<FileId> OpenFiles::id_of(TableId table, int descriptor) const {
  const auto found = tables_.find(table);
  if (found == tables_.end()) return std::nullopt;
  const auto named = found->second.find(descriptor);
  return named == found->second.end() ? std::nullopt : std::optional(named->second.file);
}

void OpenFiles::close_range(TableId table, uint64_t first, uint64_t last, bool on_exec) {
  std::vector<int> numbers;
  for (auto& [number, descriptor] : tables_.at(table)) {
    if (static_cast<uint64_t>(number) < first || static_cast<uint64_t>(number) > last) continue;
    if (on_exec)
      descriptor.close_on_exec = true;
    else
      numbers.push_back(number);
  }
  for (const int number : numbers) {
    const FileId file = tables_.at(table).at(number).file;
    tables_.at(table).erase(number);
    release(file);
  }
}

void OpenFiles::close_all(TableId table, FileId file) {
  const auto count = std::erase_if(tables_.at(table),
                                   [&](const auto& entry) { return entry.second.file == file; });
  for (size_t i = 0; i < count; ++i) release(file);
}

OpenFile* OpenFiles::find(int descriptor) {
  const auto found = table().find(descriptor);
  return found == table().end() ? nullptr : &files_.at(found->second.file);
}

std::optional<FileId> OpenFiles::id_of(int descriptor) const {
  const auto found = table().find(descriptor);
  return found == table().end() ? std::nullopt : std::optional(found->second.file);
}

int OpenFiles::lowest_free(int from) const {
  int number = from;
  for (auto used = table().lower_bound(from); used != table().end() && used->first == number;
       ++used)
    ++number;
  return number;
}

int OpenFiles::open(OpenFile file, bool close_on_exec, int from) {
  const int descriptor = lowest_free(from);
  if (const auto* ends = std::get_if<Ends>(&file.what)) {
    if (ends->reads) ++pipe(*ends->reads).readers;
    if (ends->writes) ++pipe(*ends->writes).writers;
  }
  file.references = 0;
  files_[++last_file_] = std::move(file);
  assign(descriptor, last_file_, close_on_exec);
  return descriptor;
}

PipeId OpenFiles::make_pipe() {
  pipes_[++last_pipe_] = {};
  return last_pipe_;
}

void OpenFiles::assign(int descriptor, FileId id, bool close_on_exec) {
  retain(id);
  close(descriptor);
  table()[descriptor] = {id, close_on_exec};
}

bool OpenFiles::close(int descriptor) {
  const auto found = table().find(descriptor);
  if (found == table().end()) return false;
  const FileId id = found->second.file;
  table().erase(found);
  release(id);
  return true;
}

void OpenFiles::release(FileId id) {
  OpenFile& file = files_.at(id);
  if (--file.references > 0) return;
  const auto what = std::move(file.what);
  files_.erase(id);
  for (auto& [other, watcher] : files_)
    if (auto* epoll = std::get_if<Epoll>(&watcher.what))
      std::erase_if(epoll->interests, [id](const auto& i) { return i.first.second == id; });
  if (const auto* ends = std::get_if<Ends>(&what)) {
    if (ends->reads) {
      --pipe(*ends->reads).readers;
      changed(*ends->reads);
    }
    if (ends->writes) {
      --pipe(*ends->writes).writers;
      changed(*ends->writes);
    }
  }
}

void OpenFiles::changed(PipeId pipe) {
  for (auto& [id, file] : files_)
    if (const auto* ends = std::get_if<Ends>(&file.what))
      if (ends->reads == pipe || ends->writes == pipe) ++file.changes;
}

bool OpenFiles::any_ready(const Epoll& epoll) const {
  for (const auto& [key, interest] : epoll.interests)
    if (ready(key.second) & interest.events) return true;
  return false;
}

uint32_t OpenFiles::ready(FileId id) const {
  const OpenFile& file = files_.at(id);
  uint32_t events = 0;
  if (std::holds_alternative<Output>(file.what)) return EPOLLOUT;
  if (const auto* outside = std::get_if<Outside>(&file.what)) return outside->ready.value_or(0);
  if (const auto* ends = std::get_if<Ends>(&file.what)) {
    const bool pair = ends->reads && ends->writes;
    if (ends->reads) {
      const Pipe& pipe = pipes_.at(*ends->reads);
      if (!pipe.empty() || (pair && pipe.writers == 0)) events |= EPOLLIN;
      if (pipe.writers == 0) events |= pair ? EPOLLHUP | EPOLLRDHUP : EPOLLHUP;
    }
    if (ends->writes) {
      const Pipe& pipe = pipes_.at(*ends->writes);
      if (pipe.readers == 0)
        events |= pair ? EPOLLOUT : EPOLLOUT | EPOLLERR;
      else if (pipe.has_room())
        events |= EPOLLOUT;
    }
  } else if (const auto* counter = std::get_if<EventCounter>(&file.what)) {
    if (counter->readable()) events |= EPOLLIN;
    if (counter->writable()) events |= EPOLLOUT;
  } else if (const auto* epoll = std::get_if<Epoll>(&file.what)) {
    if (any_ready(*epoll)) events |= EPOLLIN;
  }
  return events;
}

}  // namespace heddle::model
