// What shows in the program's memory of files and shared segments, and what changes it from behind.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <map>

#include "machine/pages.h"
#include "machine/syscalls/file_changes.h"
#include "recorder/descriptors.h"
#include "recorder/outside_mappings.h"
#include "recorder/recorder.h"

namespace heddle {
namespace {

constexpr uint64_t kAll = ~uint64_t{0};
// In place of a device: segments of System V shared memory, by their id.
constexpr uint64_t kSegments = ~uint64_t{0};

FileIdentity identity(const struct stat& info) {
  return {info.st_dev, info.st_ino};
}

// Of the file that the call changed.
std::optional<struct stat> changed_file(pid_t pid, const FileChange& change,
                                        const GuestMemory& memory) {
  if (change.descriptor >= 0) return descriptor_status(pid, change.descriptor);
  const auto name = memory.string(change.path).value_or("");
  const std::string process = "/proc/" + std::to_string(pid);
  const auto path = process + (name.starts_with("/") ? "/root" : "/cwd/") + name;
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return info;
}

}  // namespace

std::set<const RecordedSpace*> Recorder::spaces() const {
  std::set<const Space*> all;
  for (const auto& [id, task] : tasks_) all.insert(task->process->space.get());
  return all;
}

std::set<pid_t> Recorder::tree() const {
  std::set<pid_t> all;
  for (const auto& [id, task] : tasks_) all.insert(task->process->pid);
  return all;
}

void Recorder::taint(const Task& task, const std::string& reason) {
  if (reason.empty() || taints_.contains(reason)) return;
  taints_[reason] = append(task, event::Taint{reason}).number;
}

void Recorder::follow_image(Task& task, const event::Exec& image) {
  stop_writes();
  auto& files = task.process->space->files;
  for (const auto& mapping : image.mappings) {
    struct stat info {};
    if (mapping.file && stat(mapping.path.c_str(), &info) == 0)
      files.add(mapping.start, {mapping.size, identity(info), mapping.file->offset, false});
  }
}

// A call that changed the address space: what it shows now, and which code is gone.
std::string Recorder::follow_mapping(Task& task, const Call& call, event::Syscall& e) {
  const auto& a = call.arguments;
  auto& files = task.process->space->files;
  if (is_error(call.result)) return {};
  const auto result = static_cast<uint64_t>(call.result);
  switch (e.number) {
    case SYS_mmap:
      mapping_changed(task, result, page_up(a[1]), a[2] & PROT_EXEC);
      files.remove(result, page_up(a[1]));
      return a[3] & MAP_ANONYMOUS ? "" : map_file(task, call, e);
    case SYS_munmap:
      mapping_changed(task, a[0], page_up(a[1]), false);
      files.remove(a[0], page_up(a[1]));
      return {};
    case SYS_mprotect:
      mapping_changed(task, a[0], page_up(a[1]), a[2] & PROT_EXEC);
      return {};
    case SYS_madvise:
      if (loses_contents(a[2])) code_changed(task, a[0], page_up(a[1]), false);
      return {};
    case SYS_mremap:
      mapping_changed(task, a[0], page_up(a[1]), false);
      mapping_changed(task, result, page_up(a[2]), false);
      files.move(a[0], page_up(a[1]), result, page_up(a[2]));
      return {};
    case SYS_shmat:
      return attach_segment(task, call, e);
    case SYS_shmdt: {
      const auto view = files.at(a[0]);
      if (!view) return {};
      e.file = FileRange{"", 0, shared_.of(view->file), view->size};
      mapping_changed(task, a[0], view->size, false);
      files.remove(a[0], view->size);
      return {};
    }
    default:
      return {};
  }
}

std::string Recorder::map_file(Task& task, const Call& call, event::Syscall& e) {
  const auto& a = call.arguments;
  const pid_t pid = task.process->pid;
  const int descriptor = static_cast<int>(a[4]);
  const auto info = descriptor_status(pid, descriptor);
  if (!info) return "a mapped file cannot be examined";
  if (S_ISCHR(info->st_mode) && info->st_rdev == makedev(1, 5)) return {};  // /dev/zero
  if (!S_ISREG(info->st_mode)) return "a device is mapped: what it shows is not captured";
  const auto start = static_cast<uint64_t>(call.result);
  const auto file = identity(*info);
  const auto path = descriptor_path(pid, descriptor);
  const bool shared = (a[3] & MAP_TYPE) != MAP_PRIVATE;
  stop_writes();
  task.process->space->files.add(start, {page_up(a[1]), file, a[5], shared});
  if (!shared) {
    e.file = FileRange{trace_.pin(path), a[5]};
    return {};
  }
  e.file = FileRange{"", a[5], shared_.give(file), static_cast<uint64_t>(info->st_size)};
  const auto bytes = file_bytes(path, a[5], page_up(a[1]));
  if (!bytes) return "a file that is mapped shared cannot be read";
  if (!bytes->empty()) e.file->content = trace_.pin(*bytes);
  if (!written_by_others(tree(), pid, start, path)) return {};
  return "a file is mapped shared that another process maps and can write";
}

std::string Recorder::attach_segment(Task& task, const Call& call, event::Syscall& e) {
  const auto start = static_cast<uint64_t>(call.result);
  const auto segment = static_cast<int>(call.arguments[0]);
  const FileIdentity file{kSegments, static_cast<uint64_t>(segment)};
  shmid_ds info{};
  if (shmctl(segment, IPC_STAT, &info) != 0) return "a shared segment cannot be examined";
  const uint64_t size = page_up(info.shm_segsz);
  mapping_changed(task, start, size, call.arguments[2] & SHM_EXEC);
  task.process->space->files.add(start, {size, file, 0, true});
  std::vector<uint8_t> bytes(size);
  bytes.resize(task.memory().read(start, bytes));
  e.file = FileRange{"", 0, shared_.give(file), size};
  if (std::ranges::any_of(bytes, [](uint8_t b) { return b != 0; }))
    e.file->content = trace_.pin(bytes);
  std::map<const Space*, pid_t> users;
  for (const auto& [id, other] : tasks_) users[other->process->space.get()] = other->process->pid;
  std::set<pid_t> processes;
  for (const auto& [space, pid] : users) processes.insert(pid);
  return info.shm_nattch > attachments(processes, segment)
             ? "a shared memory segment is attached to another process too"
             : "";
}

// A call that changed a file that shows in memory: what the object holds now, or what the memory
// does.
std::string Recorder::follow_file(Task& task, const Call& call, event::Syscall& e) {
  using Where = FileChange::Where;
  const auto change = file_change(*call.entry, call.actual, call.result, task.memory());
  if (!change) return {};
  const pid_t pid = task.process->pid;
  const auto info = changed_file(pid, *change, task.memory());
  if (!info || !S_ISREG(info->st_mode)) return {};
  const auto file = identity(*info);
  const auto size = static_cast<uint64_t>(info->st_size);
  const uint32_t object = shared_.of(file);
  const Space& space = *task.process->space;
  std::string tainted;
  for (const auto* other : spaces())
    if (other != &space && !other->files.showing(file, 0, kAll, true).empty())
      tainted = "a file was written that another process of the program maps privately";
  if (object == 0 && !space.files.shows(file)) {
    if (tainted.empty()) serve_writes(task, e);
    return tainted;
  }

  auto where = change->where;
  uint64_t offset = change->offset;
  if (change->descriptor >= 0 && where != Where::resize) {
    const auto now = descriptor_info(pid, change->descriptor);
    if (where == Where::before) offset = now.position - change->size;
    if (where == Where::at && (now.flags & O_APPEND)) where = Where::all;
  }
  if (object != 0) {
    const uint64_t from = where == Where::all ? 0 : std::min(offset, size);
    const uint64_t count = where == Where::resize ? 0
                           : where == Where::all  ? size
                                                  : std::min(change->size, size - from);
    e.file = FileRange{"", from, object, size};
    for (const auto& view : space.files.showing(file, 0, kAll))
      code_changed(task, view.address, view.size, false);
    if (count > 0) {
      const auto path = change->descriptor >= 0 ? descriptor_path(pid, change->descriptor) : "";
      e.object_bytes = file_bytes(path, from, count).value_or(std::vector<uint8_t>{});
      e.object_bytes.resize(count);
    }
  }
  const auto changed = where == Where::at || where == Where::before
                           ? space.files.showing(file, offset, change->size, true)
                           : space.files.showing(file, 0, kAll, true);
  for (auto& effect : contents(changed, task.memory())) {
    code_changed(task, effect.address, effect.bytes.size(), false);
    e.effects.push_back(std::move(effect));
  }
  return tainted;
}

}  // namespace heddle
