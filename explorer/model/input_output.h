// Calls on descriptors.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "explorer/model/open_files.h"
#include "explorer/model/outside_files.h"
#include "explorer/model/polling.h"
#include "explorer/model/recorded_answers.h"
#include "explorer/model/run_queue.h"

namespace heddle::model {

// Pipes, socket pairs, event counters and epoll between the program's own tasks are modelled; files
// and streams from outside have the contents that the recorded run saw; what is written to outside
// is taken. A value.
//
// Whoever waits gets what it waits for when it comes, first come first served.
class InputOutput {
 public:
  explicit InputOutput(const std::shared_ptr<const Recording>& recording);

  // Nothing for calls that name no descriptor and make none.
  std::optional<SyscallAnswer> call(const SyscallRequest& request, const GuestMemory& memory,
                                    RecordedAnswers& answers, RunQueue& queue);

  // What a descriptor of the request names in the recording.
  std::optional<ObjectId> object_of(const SyscallRequest& request);

  // faulty.cpp
  // May a call on what the request names move less than it was asked to?
  bool divides(const SyscallRequest& request, const Recording& recording);
  // Does it read a stream from outside?
  bool reads_stream(const SyscallRequest& request, const Recording& recording);
  // What is ready for the call is ready a moment later only; nothing where that cannot be told.
  std::optional<SyscallAnswer> late(const SyscallRequest& request, const GuestMemory& memory,
                                    RunQueue& queue);

  // child_transfers.cpp
  // Calls are those of a child that still runs the process's code, or (kOwnTable) the process's.
  void use(TableId table) { files_.use(table); }
  void fork(TableId from, TableId child) { files_.copy_table(from, child); }
  int open_outside(int flags);
  void close_range(TableId table, const std::array<uint64_t, 6>& arguments, RunQueue& queue);
  void execute(TableId child, RunQueue& queue);
  void exit(TableId child, RunQueue& queue);
  // What became of a child's step.
  enum class Moved : uint8_t {
    all,
    waits,    // for somebody else; of what is written a part may have been taken off `bytes`
    broken,   // nobody reads what is written
    differs,  // from what the recorded child met there
  };
  Moved child_reads(TableId child, int descriptor, const std::vector<uint8_t>& bytes,
                    RunQueue& queue);
  Moved child_writes(TableId child, int descriptor, std::vector<uint8_t>* bytes, bool more_unknown,
                     RunQueue& queue);
  void child_closes(TableId child, int descriptor, RunQueue& queue);
  // Would such a step wait now?
  bool child_waits(TableId child, const ChildStep& step, int descriptor);

  // What was written to stream 1 or 2.
  const std::string& output(int stream) const { return stream == 1 ? output_ : error_; }
  // Tasks that wrote to a pipe that nobody reads since this was asked last: SIGPIPE is due to them.
  std::vector<TaskId> take_broken_pipes() { return std::exchange(broken_pipes_, {}); }

 private:
  struct Buffer {
    uint64_t address = 0, size = 0;
  };
  struct Transfer {
    FileId file = 0;
    bool writes = false;
    std::vector<Buffer> buffers;
    uint64_t size = 0;           // of all
    std::vector<uint8_t> bytes;  // to be written, without what has been
    std::optional<uint64_t> at;  // pread64, pwrite64
  };
  struct Waiter {
    TaskId task = 0;
    WaitNumber number = 0;
    std::variant<Transfer, PollRequest, EpollRequest> what;
  };

  std::optional<SyscallAnswer> dispatch(const SyscallRequest& request, const GuestMemory& memory,
                                        RecordedAnswers& answers, RunQueue& queue);
  // descriptors.cpp
  SyscallAnswer open(const SyscallRequest& request, RecordedAnswers& answers);
  SyscallAnswer make_pair(const SyscallRequest& request, RecordedAnswers& answers);
  SyscallAnswer make_counter(const SyscallRequest& request, RecordedAnswers& answers);
  SyscallAnswer make_epoll(const SyscallRequest& request, RecordedAnswers& answers);
  SyscallAnswer duplicate(const SyscallRequest& request);
  SyscallAnswer control(const SyscallRequest& request, RecordedAnswers& answers);
  SyscallAnswer seek(const SyscallRequest& request, RecordedAnswers& answers);
  SyscallAnswer shut_down(const SyscallRequest& request);
  static std::optional<SyscallAnswer> like_another(const SyscallRequest& request,
                                                   RecordedAnswers& answers);
  SyscallAnswer other(const SyscallRequest& request, RecordedAnswers& answers);
  // transfers.cpp
  SyscallAnswer transfer(const SyscallRequest& request, const GuestMemory& memory,
                         RecordedAnswers& answers, RunQueue& queue);
  SyscallAnswer read_outside(const Transfer& transfer, const SyscallRequest& request,
                             RecordedAnswers& answers);
  SyscallAnswer write_outside(const Transfer& transfer, const SyscallRequest& request,
                              RecordedAnswers& answers);
  // Nothing while it has to wait.
  std::optional<SyscallAnswer> attempt_transfer(Transfer& transfer, TaskId task);
  static SyscallAnswer delivered(const Transfer& transfer, const std::vector<uint8_t>& bytes);
  // input_output.cpp
  SyscallAnswer poll(const SyscallRequest& request, const GuestMemory& memory,
                     RecordedAnswers& answers, RunQueue& queue);
  SyscallAnswer epoll_wait(const SyscallRequest& request, const GuestMemory& memory,
                           RecordedAnswers& answers, RunQueue& queue);
  // Of poll, ppoll and epoll_wait: the answer of one that cannot be made, else its time limit in
  // ns; negative: none.
  static std::optional<SyscallAnswer> time_limit(const SyscallRequest& request,
                                                 const GuestMemory& memory, int64_t* limit);
  template <typename Request>
  SyscallAnswer wait_until_ready(Request wanted, const SyscallRequest& request, int64_t timeout_ns,
                                 SyscallAnswer timed_out, RecordedAnswers& answers,
                                 RunQueue& queue);

  // outside_readiness.cpp
  // Is the file ready, if it is one from outside?
  void note_readiness(OpenFile& file, const RecordedAnswers& answers) const;
  // The request was answered: what did it leave?
  void note_taken(const SyscallRequest& request, const RecordedAnswers& answers);

  std::optional<SyscallAnswer> attempt_waiting(Waiter& waiter);
  void wait(TaskId task, Wait wait, std::variant<Transfer, PollRequest, EpollRequest> what,
            RunQueue& queue);
  // Files on which a waiting call keeps a reference.
  std::vector<FileId> files_of(const Waiter& waiter) const;
  void forget_ended(const RunQueue& queue);
  // Those who can go on now do.
  void progress(RunQueue& queue);

  OpenFiles files_;
  OutsideFiles outside_;
  std::vector<Waiter> waiters_;  // first come first
  std::string output_, error_;
  std::vector<TaskId> broken_pipes_;
};

}  // namespace heddle::model
