// What the children of the recorded process did, as far as that process can see it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "machine/kernel.h"

namespace heddle::model {

// What a descriptor of the recorded run named: something that was opened, made or inherited. Each
// end of a pipe or a socket pair is one, and what dup made is the same one.
using ObjectId = uint32_t;

// One act of a child that executed a program, or of a descendant of it.
struct ChildStep {
  enum class Does : uint8_t {
    reads,    // `bytes` out of `object`, one of the process's pipes; none: its end
    writes,   // `bytes` to `object`; not `known`: and more that nobody read in the recorded run
    closes,   // nobody of them has `object` open any more
    handles,  // the child changes what it does about `signal`
    takes,    // `signal`, which the process sent to the child, is delivered
    sends,    // `signal` to the process
    ends,     // the child, with `status`
  };
  Does does = Does::ends;
  ObjectId object = 0;
  std::vector<uint8_t> bytes{};
  bool known = true;  // reads, writes: all of `bytes`
  int32_t signal = 0;
  int32_t status = 0;  // wait(2)'s status word
};

// A program that a child executed, and what became of it.
struct ChildProgram {
  TaskId task = 0;
  int64_t pid = 0;
  std::string path;
  std::vector<std::string> arguments, environment;
  std::map<ObjectId, int> descriptors;  // by which it has what its steps are about
  std::vector<ChildStep> steps;         // in the recorded order
  bool ends = false;                    // one of the steps does
};

// Built event by event. Not changed after finish().
//
// Only pipes and socket pairs that the first process made are followed: all else that children do
// is outside. What is written is in no event; it is known from whoever read it.
class RecordedChildren {
 public:
  struct Open {
    ObjectId object = 0;
    bool closes_on_exec = false;
  };
  using Table = std::map<int, Open>;

  // Before all events: the task's number is the process's.
  void begin(int64_t own_pid) { own_pid_ = own_pid; }
  // A call of the first process that returned. `names`: what it made or named (Recording's
  // numbers), by descriptor, when it is over.
  void own(const Event& event, const event::Syscall& call, const std::map<int, ObjectId>& names,
           std::span<const ObjectId> made);
  // An event of any other process.
  void other(const Event& event);
  void finish();

  int64_t own_pid() const { return own_pid_; }
  // In the order in which they were executed.
  std::span<const ChildProgram> programs() const { return programs_; }
  // Calls of children before they executed anything, in order.
  std::span<const event::Syscall> early_calls() const { return early_; }
  // The numbers of all descendants.
  bool is_descendant(int64_t pid) const { return pids_.contains(pid); }
  // Is it a pipe's or socket's end that the first process made?
  bool is_end(ObjectId object) const;
  // Children and threads of the first process, in order of creation.
  std::span<const TaskId> made() const { return made_; }
  TaskId last_task() const { return last_task_; }

 private:
  struct Process {
    Table table;
    TaskId child = 0;               // that it descends from, or is
    bool is_child = false;          // of one that had executed nothing
    std::optional<size_t> program;  // of the child
    bool over = false;
  };
  struct Stream {
    std::vector<uint8_t> bytes;
    uint64_t written = 0;
    bool lost = false;  // moved by a call that does not say what
  };
  struct Write {
    size_t program = 0, step = 0;
    ObjectId stream = 0;
    uint64_t from = 0, size = 0;
  };
  ObjectId stream_of_writer(ObjectId object) const;
  uint64_t wrote(ObjectId object, uint64_t count);
  void read(ObjectId object, const event::Syscall& call);
  void change(Table& table, const event::Syscall& call, const std::map<int, ObjectId>* names);
  void add_child(const Process& parent, bool own, const Event& event, const event::Syscall& call);
  void call_of(Process& process, const Event& event, const event::Syscall& call);
  void executed(Process& process, TaskId task, const event::Exec& image);
  void step(const Process& process, ChildStep step);
  // What of these objects nobody of the child's family has any more is closed.
  void close_unused(const Process& process, const std::set<ObjectId>& were_open);
  static std::set<ObjectId> objects(const Table& table);

  int64_t own_pid_ = 0;
  Table own_table_;
  std::map<TaskId, std::shared_ptr<Process>> processes_;  // by task; not the first one's
  std::set<ObjectId> ends_;                               // of pairs that the first process made
  std::map<ObjectId, ObjectId> other_end_;                // by who writes: who reads that
  std::map<ObjectId, Stream> streams_;                    // by who reads
  std::vector<Write> writes_;
  std::vector<ChildProgram> programs_;
  std::vector<event::Syscall> early_;
  std::set<int64_t> pids_;
  std::map<int64_t, TaskId> by_pid_;
  std::set<std::pair<TaskId, int32_t>> sent_;  // by the first process, to children
  std::vector<TaskId> made_;
  TaskId last_task_ = 1;
  ObjectId last_object_ = 0x8000'0000;  // of what children make
};

}  // namespace heddle::model
