#include "replayer/mapped_files.h"

#include <sys/syscall.h>

#include "machine/pages.h"

namespace heddle {

void MappedFiles::advance(const Event& event, Replayer& replayer) {
  const Guest* guest = replayer.guest_of(event.place.task);
  if (!guest) return;
  const auto map = [&](uint64_t start, const std::optional<FileRange>& file) {
    if (file && file->offset == 0) processes_[guest][start] = file->content;
  };
  if (const auto* image = std::get_if<event::Exec>(&event.body)) {
    processes_[guest].clear();
    for (const auto& mapping : image->mappings) map(mapping.start, mapping.file);
  }
  const auto* call = std::get_if<event::Syscall>(&event.body);
  if (!call || is_error(call->result)) return;
  if (call->child != 0) {
    // A task of its own address space begins with its parent's mappings.
    const Guest* child = replayer.guest_of(call->child);
    if (child && child != guest) processes_[child] = processes_[guest];
  }
  const bool maps = call->number == SYS_mmap;
  if (!maps && call->number != SYS_munmap) return;
  const auto start = maps ? static_cast<uint64_t>(call->result) : call->arguments[0];
  auto& files = processes_[guest];
  files.erase(files.lower_bound(start), files.lower_bound(start + call->arguments[1]));
  if (maps) map(start, call->file);
}

std::vector<Module> MappedFiles::modules(const Guest& guest) const {
  std::vector<Module> modules;
  const auto files = processes_.find(&guest);
  if (files == processes_.end()) return modules;
  for (const auto& [start, content] : files->second) modules.push_back({start, files_(content)});
  return modules;
}

}  // namespace heddle
