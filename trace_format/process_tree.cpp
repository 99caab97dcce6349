#include "trace_format/process_tree.h"

#include <algorithm>

namespace heddle {

std::optional<size_t> ProcessTree::process_of(TaskId task) const {
  const auto it = by_task_.find(task);
  if (it == by_task_.end()) return std::nullopt;
  return it->second;
}

const RecordedProgram* ProcessTree::program(size_t process) const {
  const auto& own = processes_.at(process).programs;
  if (!own.empty()) return &own.back();
  const auto& from = inherited_.at(process);
  return from ? &processes_[from->first].programs[from->second] : nullptr;
}

void ProcessTree::make(const Event& event, const event::Syscall& call) {
  const size_t parent = by_task_.at(event.place.task);
  if (!call.makes_process) {
    by_task_[call.child] = parent;
    processes_[parent].tasks.push_back(call.child);
    return;
  }
  std::optional<std::pair<size_t, size_t>> program = inherited_[parent];
  if (const auto& own = processes_[parent].programs; !own.empty())
    program = {parent, own.size() - 1};
  by_task_[call.child] = processes_.size();
  inherited_.push_back(program);
  TracedProcess made;
  made.pid = static_cast<int32_t>(call.result);
  made.parent = parent;
  made.tasks = {call.child};
  made.began_ns = made.ended_ns = event.time_ns;
  processes_.push_back(std::move(made));
}

void ProcessTree::add(const Event& event) {
  const TaskId task = event.place.task;
  if (processes_.empty()) {
    processes_.emplace_back().tasks = {task};
    inherited_.emplace_back();
    by_task_[task] = 0;
  }
  const auto found = process_of(task);
  if (!found) return;  // a damaged trace; the replayer says so
  auto* process = &processes_[*found];
  ++process->events;
  process->ended_ns = std::max(process->ended_ns, event.time_ns);
  // Ends of processes are told with the place of whichever task was looked at.
  auto& ticks = ticks_[task];
  if (event.place.ticks > ticks) {
    process->ticks += event.place.ticks - ticks;
    ticks = event.place.ticks;
  }
  if (const auto* image = std::get_if<event::Exec>(&event.body)) {
    if (image->pid != 0) process->pid = image->pid;
    process->programs.push_back({event.number, event.time_ns, image->path, image->arguments});
  } else if (const auto* call = std::get_if<event::Syscall>(&event.body)) {
    if (call->child != 0) make(event, *call);
  } else if (const auto* end = std::get_if<event::ProcessExit>(&event.body)) {
    process->status = end->status;
  } else if (const auto* released = std::get_if<event::Released>(&event.body)) {
    process->released = released->reason;
  }
}

}  // namespace heddle
