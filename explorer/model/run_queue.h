// Which tasks can run, what the others wait for, and virtual time.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "machine/kernel.h"

namespace heddle::model {

inline constexpr uint64_t kNever = ~uint64_t{0};

// The result of a call that waited and is made again: ERESTARTSYS of the kernel
// (include/linux/errno.h).
inline constexpr int64_t kMadeAgain = -512;

// What a signal with a handler does to a call that waits (signal(7)).
enum class OnSignal : uint8_t {
  restarts,    // with SA_RESTART; EINTR without
  interrupts,  // EINTR
  waits_on,    // the call does not notice
};

struct Wait {
  std::string what;            // for a person: "futex 0x404010", "a pipe to read from"
  uint64_t deadline = kNever;  // ns of virtual time
  SyscallAnswer timed_out;     // how the call returns at the deadline
  OnSignal on_signal = OnSignal::restarts;
  uint64_t remaining = 0;  // where a sleep's rest goes if a signal ends it (a timespec); 0: nowhere
  uint64_t futex = 0;      // the word that it waits at; 0: at none
  bool for_outside = false;  // what is outside the program could end it
};

// A wait's number: one that ended is told from the same task's next one.
using WaitNumber = uint64_t;

// A value. Virtual time is in ns since the program began.
class RunQueue {
 public:
  // `task` is new and can run.
  void add(TaskId task) { runnable_.push_back(task); }
  void remove(TaskId task);
  // To the end of the queue.
  void yield(TaskId task);

  // Earliest-runnable first.
  const std::vector<TaskId>& runnable() const { return runnable_; }
  bool empty() const { return runnable_.empty() && waiting_.empty() && suspended_.empty(); }

  // A task that stands still between two calls (vfork), until it is resumed.
  void suspend(TaskId task);
  void resume(TaskId task);

  WaitNumber block(TaskId task, Wait wait);
  // Is that wait still going on?
  bool waits(TaskId task, WaitNumber number) const;
  // Null where the task does not wait.
  const Wait* wait_of(TaskId task) const;
  // The wait is over: the call returns with that. A task that does not wait is an error of ours.
  void end(TaskId task, SyscallAnswer answer);
  // Likewise, by a signal: with or without SA_RESTART.
  void interrupt(TaskId task, bool restart);
  // The end of the call of a task that is runnable again.
  SyscallAnswer collect(TaskId task);

  uint64_t now() const { return now_; }
  // Waits whose deadline has come end, by deadline and number: not by when it is looked at.
  void pass(uint64_t ns);
  // The first deadline; kNever: none.
  uint64_t first_deadline() const;
  // Tasks that wait with a time limit of at most `within` ns from now, by deadline.
  std::vector<TaskId> sleepers(uint64_t within = kNever) const;

  // "thread 2 waits for futex 0x404010; ..."
  std::string description() const;
  bool waits_for_outside() const;
  // The words that tasks wait at.
  std::map<TaskId, uint64_t> futexes() const;

 private:
  struct Waiting {
    Wait wait;
    WaitNumber number = 0;
  };
  std::vector<TaskId> runnable_;
  std::set<TaskId> suspended_;
  std::map<TaskId, Waiting> waiting_;
  std::map<TaskId, SyscallAnswer> ended_;
  WaitNumber last_number_ = 0;
  uint64_t now_ = 0;
};

}  // namespace heddle::model
