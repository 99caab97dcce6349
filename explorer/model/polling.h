// poll(2) and epoll(7): what is asked, and whether it can be answered now.
#pragma once

#include <optional>
#include <vector>

#include "explorer/model/open_files.h"
#include "explorer/model/recorded_answers.h"
#include "explorer/model/run_queue.h"

namespace heddle::model {

// The program's array of struct pollfd, as it was when poll was called.
struct PollRequest {
  struct Entry {
    int descriptor = 0;
    std::optional<FileId> file;  // nothing: not a number in use, or a negative one
    uint32_t events = 0;
  };
  uint64_t address = 0;
  std::vector<Entry> entries;
};

struct EpollRequest {
  FileId epoll = 0;
  uint64_t address = 0;
  uint32_t most = 0;  // events
};

std::optional<PollRequest> poll_request(const SyscallRequest& request, OpenFiles& files,
                                        const GuestMemory& memory);

// Nothing while nothing is ready.
std::optional<SyscallAnswer> attempt(const PollRequest& request, OpenFiles& files);
std::optional<SyscallAnswer> attempt(const EpollRequest& request, OpenFiles& files);
// Nothing is: all entries say so.
SyscallAnswer timed_out(const PollRequest& request);

// What the recorded run was told of files of which only that is known; nothing: no more.
std::optional<SyscallAnswer> recorded(const PollRequest& poll, const SyscallRequest& request,
                                      OpenFiles& files, RecordedAnswers& answers);
std::optional<SyscallAnswer> recorded(const EpollRequest& wait, const SyscallRequest& request,
                                      OpenFiles& files, RecordedAnswers& answers);

// Does it wait for something that only the recording knows?
bool asks_outside(const PollRequest& request, OpenFiles& files);
bool asks_outside(const EpollRequest& request, OpenFiles& files);

SyscallAnswer epoll_control(const SyscallRequest& request, OpenFiles& files,
                            const GuestMemory& memory, RecordedAnswers& answers);

}  // namespace heddle::model
