#include "explorer/model/recorded_children.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "explorer/model/recording.h"

namespace heddle::model {
namespace {

using Does = ChildStep::Does;

// Whom siginfo_t says that a signal comes from (uapi/asm-generic/siginfo.h).
int32_t sender_of(const event::Signal& signal) {
  struct {
    int32_t number, error, code, padding, pid;
  } head;
  std::memcpy(&head, signal.siginfo.data(), sizeof head);
  const bool sent = head.code == SI_USER || head.code == SI_QUEUE || head.code == SI_TKILL;
  return sent ? head.pid : 0;
}

bool makes_process(const event::Syscall& call) {
  return call.child != 0 && (call.makes_process ||
                             (call.number != SYS_clone3 &&
                              !(call.number == SYS_clone && (call.arguments[0] & CLONE_THREAD))));
}

}  // namespace

std::set<ObjectId> RecordedChildren::objects(const Table& table) {
  std::set<ObjectId> objects;
  for (const auto& [descriptor, open] : table) objects.insert(open.object);
  return objects;
}

ObjectId RecordedChildren::stream_of_writer(ObjectId object) const {
  const auto other = other_end_.find(object);
  return other == other_end_.end() ? 0 : other->second;
}

bool RecordedChildren::is_end(ObjectId object) const {
  return ends_.contains(object);
}

// Where in its stream it begins.
uint64_t RecordedChildren::wrote(ObjectId object, uint64_t count) {
  Stream& stream = streams_[stream_of_writer(object)];
  const uint64_t from = stream.written;
  stream.written += count;
  return from;
}

void RecordedChildren::read(ObjectId object, const event::Syscall& call) {
  Stream& stream = streams_[object];
  size_t left = static_cast<size_t>(call.result);
  for (const auto& effect : call.effects) {
    const size_t count = std::min(left, effect.bytes.size());
    stream.bytes.insert(stream.bytes.end(), effect.bytes.begin(),
                        effect.bytes.begin() + static_cast<std::ptrdiff_t>(count));
    left -= count;
  }
  if (left > 0) stream.lost = true;
}

// `names`: where what the call made has got a number already.
void RecordedChildren::change(Table& table, const event::Syscall& call,
                              const std::map<int, ObjectId>* names) {
  if (call.result < 0) return;
  const auto& a = call.arguments;
  const auto descriptor = static_cast<int>(a[0]), result = static_cast<int>(call.result);
  const bool on_exec = (descriptor_flags(call.number, a) & O_CLOEXEC) != 0;
  for (const int made : made_descriptors(call))
    table[made] = {names ? names->at(made) : ++last_object_, on_exec};
  const auto duplicate = [&](bool closes) {
    const auto from = table.find(descriptor);
    if (from == table.end())
      table.erase(result);
    else if (result != descriptor)
      table[result] = {from->second.object, closes};
  };
  switch (call.number) {
    case SYS_close:
      table.erase(descriptor);
      break;
    case SYS_close_range:
      for (auto it = table.begin(); it != table.end();) {
        const bool inside = it->first >= descriptor && static_cast<uint64_t>(it->first) <= a[1];
        if (inside && (a[2] & 4 /* CLOSE_RANGE_CLOEXEC */)) it->second.closes_on_exec = true;
        it = inside && !(a[2] & 4) ? table.erase(it) : std::next(it);
      }
      break;
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3:
      duplicate(on_exec);
      break;
    case SYS_fcntl:
      if (a[1] == F_DUPFD || a[1] == F_DUPFD_CLOEXEC) duplicate(a[1] == F_DUPFD_CLOEXEC);
      if (a[1] == F_SETFD && table.contains(descriptor))
        table[descriptor].closes_on_exec = (a[2] & FD_CLOEXEC) != 0;
      break;
    case SYS_ioctl:
      if ((a[1] == FIOCLEX || a[1] == FIONCLEX) && table.contains(descriptor))
        table[descriptor].closes_on_exec = a[1] == FIOCLEX;
      break;
    default:
      break;
  }
}

void RecordedChildren::add_child(const Process& parent, bool own, const Event& event,
                                 const event::Syscall& call) {
  last_task_ = std::max(last_task_, call.child);
  if (own) made_.push_back(call.child);
  if (!makes_process(call)) {
    if (!own) processes_[call.child] = processes_.at(event.place.task);
    return;
  }
  pids_.insert(call.result);
  if (own) by_pid_[call.result] = call.child;
  auto process = std::make_shared<Process>(parent);
  // Whoever makes it still runs the first process's code: so may it, until it executes a program.
  const bool runs_our_code = own || !parent.program;
  process->is_child = runs_our_code;
  process->over = false;
  if (runs_our_code) {
    process->child = call.child;
    process->program.reset();
  }
  processes_[call.child] = std::move(process);
}

void RecordedChildren::own(const Event& event, const event::Syscall& call,
                           const std::map<int, ObjectId>& names, std::span<const ObjectId> made) {
  change(own_table_, call, &names);
  if (made.size() == 2) {
    ends_.insert(made.begin(), made.end());
    other_end_[made[1]] = made[0];
    if (call.number == SYS_socketpair) other_end_[made[0]] = made[1];
  }
  if (call.child != 0) {
    Process self;
    self.table = own_table_;
    // What was inherited is seen when it is used.
    for (const auto& [descriptor, object] : names)
      self.table.try_emplace(descriptor, Open{object, false});
    add_child(self, true, event, call);
    return;
  }
  const auto& a = call.arguments;
  if (call.number == SYS_kill && call.result == 0)
    if (const auto to = by_pid_.find(static_cast<int32_t>(a[0])); to != by_pid_.end())
      sent_.insert({to->second, static_cast<int32_t>(a[1])});
  if (call.result <= 0) return;
  const auto named = names.find(static_cast<int>(a[0]));
  if (named == names.end() || !is_end(named->second)) return;
  if (call.number == SYS_write || call.number == SYS_writev || call.number == SYS_sendto)
    wrote(named->second, static_cast<uint64_t>(call.result));
  if (call.number == SYS_read || call.number == SYS_readv || call.number == SYS_recvfrom)
    read(named->second, call);
}

void RecordedChildren::step(const Process& process, ChildStep step) {
  if (!process.program) return;
  ChildProgram& program = programs_[*process.program];
  program.ends |= step.does == Does::ends;
  program.steps.push_back(std::move(step));
}

void RecordedChildren::close_unused(const Process& process, const std::set<ObjectId>& were_open) {
  std::set<ObjectId> left;
  for (const auto& [task, member] : processes_)
    if (!member->over && member->child == process.child) left.merge(objects(member->table));
  for (const ObjectId object : were_open)
    if (is_end(object) && !left.contains(object))
      step(process, {.does = Does::closes, .object = object});
}

void RecordedChildren::call_of(Process& process, const Event& event, const event::Syscall& call) {
  if (call.interrupted) return;
  if (!process.program) early_.push_back(call);
  if (call.child != 0) return add_child(process, false, event, call);
  const auto& a = call.arguments;
  if (call.number == SYS_rt_sigaction && a[1] != 0 && call.result == 0 && process.is_child)
    step(process, {.does = Does::handles, .signal = static_cast<int32_t>(a[0])});
  if (call.number == SYS_kill && call.result == 0 && static_cast<int32_t>(a[0]) == own_pid_ &&
      a[1] != 0)
    step(process, {.does = Does::sends, .signal = static_cast<int32_t>(a[1])});
  const auto named = process.table.find(static_cast<int>(a[0]));
  const ObjectId object = named == process.table.end() ? 0 : named->second.object;
  const auto count = static_cast<uint64_t>(std::max<int64_t>(call.result, 0));
  switch (call.number) {
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
      if (call.result >= 0 && is_end(object)) {
        const size_t before = streams_[object].bytes.size();
        if (call.number == SYS_recvmsg) streams_[object].lost = true;
        read(object, call);
        const auto& bytes = streams_[object].bytes;
        step(process, {.does = Does::reads,
                       .object = object,
                       .bytes = {bytes.begin() + static_cast<std::ptrdiff_t>(before), bytes.end()},
                       .known = !streams_[object].lost});
      }
      break;
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendfile:
      if (count == 0 || stream_of_writer(object) == 0) break;
      if (const uint64_t from = wrote(object, count); process.program)
        writes_.push_back({*process.program, programs_[*process.program].steps.size(),
                           stream_of_writer(object), from, count});
      step(process, {.does = Does::writes, .object = object});
      break;
    case SYS_splice:
      // Which bytes went where is not known.
      for (const size_t argument : {0, 2})
        if (const auto end = process.table.find(static_cast<int>(a[argument]));
            end != process.table.end())
          for (const ObjectId lost : {end->second.object, stream_of_writer(end->second.object)})
            streams_[lost].lost = true;
      break;
    default:
      break;
  }
  const auto were_open = objects(process.table);
  change(process.table, call, nullptr);
  if (were_open != objects(process.table)) close_unused(process, were_open);
}

void RecordedChildren::executed(Process& process, TaskId task, const event::Exec& image) {
  const auto were_open = objects(process.table);
  std::erase_if(process.table, [](const auto& entry) { return entry.second.closes_on_exec; });
  if (process.is_child && !process.program) {
    process.program = programs_.size();
    ChildProgram& program = programs_.emplace_back();
    program.task = task;
    program.pid = image.pid;
    program.path = image.path;
    program.arguments = image.arguments;
    program.environment = image.environment;
    for (const auto& [descriptor, open] : process.table)
      program.descriptors.try_emplace(open.object, descriptor);
    return;
  }
  close_unused(process, were_open);
}

void RecordedChildren::other(const Event& event) {
  const auto found = processes_.find(event.place.task);
  if (found == processes_.end()) return;
  const std::shared_ptr<Process> held = found->second;
  Process& process = *held;
  if (const auto* call = std::get_if<event::Syscall>(&event.body)) {
    call_of(process, event, *call);
  } else if (const auto* image = std::get_if<event::Exec>(&event.body)) {
    executed(process, event.place.task, *image);
  } else if (const auto* signal = std::get_if<event::Signal>(&event.body)) {
    if (process.is_child && !signal->synchronous && sender_of(*signal) == own_pid_)
      step(process, {.does = Does::takes, .signal = signal->number});
  } else if (const auto* end = std::get_if<event::ProcessExit>(&event.body)) {
    // SIGKILL ends a process without being taken.
    const bool killed = WIFSIGNALED(end->status) && WTERMSIG(end->status) == SIGKILL;
    if (process.is_child && killed && sent_.contains({process.child, SIGKILL}))
      step(process, {.does = Does::takes, .signal = SIGKILL});
    process.over = true;
    const auto were_open = objects(process.table);
    close_unused(process, were_open);
    process.table.clear();
    if (process.is_child) step(process, {.does = Does::ends, .status = end->status});
  }
}

void RecordedChildren::finish() {
  for (const Write& write : writes_) {
    const Stream& stream = streams_[write.stream];
    ChildStep& step = programs_[write.program].steps[write.step];
    const uint64_t until =
        stream.lost ? write.from : std::min<uint64_t>(write.from + write.size, stream.bytes.size());
    step.known = until == write.from + write.size;
    if (until > write.from)
      step.bytes.assign(stream.bytes.begin() + static_cast<std::ptrdiff_t>(write.from),
                        stream.bytes.begin() + static_cast<std::ptrdiff_t>(until));
  }
}

}  // namespace heddle::model
