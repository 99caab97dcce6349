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

OpenFile* OpenFiles::find(int descriptor) {
  const auto found = descriptors_.find(descriptor);
  return found == descriptors_.end() ? nullptr : &files_.at(found->second.file);
}

std::optional<FileId> OpenFiles::id_of(int descriptor) const {
  const auto found = descriptors_.find(descriptor);
  return found == descriptors_.end() ? std::nullopt : std::optional(found->second.file);
}

int OpenFiles::lowest_free(int from) const {
  int number = from;
  for (auto used = descriptors_.lower_bound(from);
       used != descriptors_.end() && used->first == number; ++used)
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
  descriptors_[descriptor] = {id, close_on_exec};
}

bool OpenFiles::close(int descriptor) {
  const auto found = descriptors_.find(descriptor);
  if (found == descriptors_.end()) return false;
  const FileId id = found->second.file;
  descriptors_.erase(found);
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
