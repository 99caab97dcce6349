#include "explorer/model/polling.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "explorer/model/answers.h"

namespace heddle::model {
namespace {

constexpr uint32_t kAlways = EPOLLERR | EPOLLHUP;
constexpr uint64_t kMostEntries = 65536;

bool is_outside(FileId id, OpenFiles& files) {
  return std::holds_alternative<Outside>(files.at(id).what);
}

// Does only what the recorded run was told when it asked tell whether it is ready?
bool is_only_told(FileId id, OpenFiles& files) {
  const auto* outside = std::get_if<Outside>(&files.at(id).what);
  return outside && !outside->ready;
}

SyscallAnswer answer_of(const PollRequest& request, const std::vector<uint16_t>& found) {
  int64_t count = 0;
  std::vector<MemoryEffect> effects;
  for (size_t i = 0; i < found.size(); ++i) {
    count += found[i] != 0;
    const uint64_t at = request.address + i * sizeof(pollfd) + offsetof(pollfd, revents);
    effects.push_back(effect(at, found[i]));
  }
  return done(count, std::move(effects));
}

SyscallAnswer answer_of(const EpollRequest& request, const std::vector<epoll_event>& found) {
  std::vector<MemoryEffect> effects;
  if (!found.empty()) {
    MemoryEffect e{request.address, std::vector<uint8_t>(found.size() * sizeof(epoll_event))};
    std::memcpy(e.bytes.data(), found.data(), e.bytes.size());
    effects.push_back(std::move(e));
  }
  return done(static_cast<int64_t>(found.size()), std::move(effects));
}

// The bytes that a recorded call wrote at its argument.
const std::vector<uint8_t>* written_at(const event::Syscall& call, size_t argument) {
  for (const auto& e : call.effects)
    if (e.address == call.arguments[argument]) return &e.bytes;
  return nullptr;
}

}  // namespace

std::optional<PollRequest> poll_request(const SyscallRequest& request, OpenFiles& files,
                                        const GuestMemory& memory) {
  PollRequest poll;
  poll.address = request.arguments[0];
  const uint64_t count = std::min(request.arguments[1], kMostEntries);
  for (uint64_t i = 0; i < count; ++i) {
    const auto entry = memory.load<pollfd>(poll.address + i * sizeof(pollfd));
    if (!entry) return std::nullopt;
    poll.entries.push_back(
        {entry->fd, files.id_of(entry->fd), static_cast<uint16_t>(entry->events)});
  }
  return poll;
}

std::optional<SyscallAnswer> attempt(const PollRequest& request, OpenFiles& files) {
  std::vector<uint16_t> found;
  for (const PollRequest::Entry& entry : request.entries) {
    uint32_t ready = 0;
    if (entry.file)
      ready = files.ready(*entry.file) & (entry.events | kAlways);
    else if (entry.descriptor >= 0)
      ready = POLLNVAL;
    found.push_back(static_cast<uint16_t>(ready));
  }
  if (std::ranges::all_of(found, [](uint16_t ready) { return ready == 0; })) return std::nullopt;
  return answer_of(request, found);
}

SyscallAnswer timed_out(const PollRequest& request) {
  return answer_of(request, std::vector<uint16_t>(request.entries.size()));
}

std::optional<SyscallAnswer> attempt(const EpollRequest& request, OpenFiles& files) {
  auto& epoll = std::get<Epoll>(files.at(request.epoll).what);
  std::vector<epoll_event> found;
  std::vector<std::pair<int, FileId>> order;
  for (const auto& [key, interest] : epoll.interests) order.push_back(key);
  // Those behind the one that was reported last go first, so that none is passed over for ever.
  std::rotate(order.begin(), std::ranges::upper_bound(order, epoll.last), order.end());
  for (const auto& key : order) {
    if (found.size() == request.most) break;
    Interest& interest = epoll.interests.at(key);
    const OpenFile& file = files.at(key.second);
    if (interest.events == 0) continue;  // EPOLLONESHOT has fired
    const uint32_t ready = files.ready(key.second) & (interest.events | kAlways);
    if (ready == 0) continue;
    if ((interest.events & EPOLLET) && interest.seen == file.changes) continue;
    interest.seen = file.changes;
    epoll_event event{};
    event.events = ready;
    event.data.u64 = interest.data;
    found.push_back(event);
    epoll.last = key;
    if (interest.events & EPOLLONESHOT) interest.events = 0;
  }
  if (found.empty()) return std::nullopt;
  return answer_of(request, found);
}

std::optional<SyscallAnswer> recorded(const PollRequest& poll, const SyscallRequest& request,
                                      OpenFiles& files, RecordedAnswers& answers) {
  while (const auto event = answers.take(request, std::nullopt)) {
    const event::Syscall& call = answers.recording().call(*event);
    const auto* bytes = written_at(call, 0);
    std::vector<uint16_t> found(poll.entries.size());
    for (size_t i = 0; bytes && i < found.size(); ++i) {
      if ((i + 1) * sizeof(pollfd) > bytes->size()) break;
      pollfd entry;
      std::memcpy(&entry, bytes->data() + i * sizeof entry, sizeof entry);
      const auto& own = poll.entries[i];
      if (entry.fd == own.descriptor && own.file && is_only_told(*own.file, files))
        found[i] = static_cast<uint16_t>(entry.revents);
    }
    if (std::ranges::any_of(found, [](uint16_t ready) { return ready != 0; }))
      return answer_of(poll, found);
  }
  return std::nullopt;
}

std::optional<SyscallAnswer> recorded(const EpollRequest& wait, const SyscallRequest& request,
                                      OpenFiles& files, RecordedAnswers& answers) {
  const OpenFile& file = files.at(wait.epoll);
  const auto& interests = std::get<Epoll>(file.what).interests;
  const auto known = [&](uint64_t data) {
    return std::ranges::any_of(interests, [&](const auto& i) {
      return i.second.data == data && is_only_told(i.first.second, files);
    });
  };
  while (const auto event = answers.take(request, file.object)) {
    const event::Syscall& call = answers.recording().call(*event);
    const auto* bytes = written_at(call, 1);
    std::vector<epoll_event> found;
    for (size_t i = 0; bytes && (i + 1) * sizeof(epoll_event) <= bytes->size(); ++i) {
      epoll_event one;
      std::memcpy(&one, bytes->data() + i * sizeof one, sizeof one);
      if (known(one.data.u64) && found.size() < wait.most) found.push_back(one);
    }
    if (!found.empty()) return answer_of(wait, found);
  }
  return std::nullopt;
}

bool asks_outside(const PollRequest& request, OpenFiles& files) {
  return std::ranges::any_of(request.entries, [&](const PollRequest::Entry& entry) {
    return entry.file && is_outside(*entry.file, files);
  });
}

bool asks_outside(const EpollRequest& request, OpenFiles& files) {
  const auto& interests = std::get<Epoll>(files.at(request.epoll).what).interests;
  return std::ranges::any_of(
      interests, [&](const auto& interest) { return is_outside(interest.first.second, files); });
}

SyscallAnswer epoll_control(const SyscallRequest& request, OpenFiles& files,
                            const GuestMemory& memory, RecordedAnswers& answers) {
  const auto& a = request.arguments;
  OpenFile* watcher = files.find(static_cast<int>(a[0]));
  const auto descriptor = static_cast<int>(a[2]);
  const auto target = files.id_of(descriptor);
  if (!watcher || !target) return done(-EBADF);
  auto* epoll = std::get_if<Epoll>(&watcher->what);
  if (!epoll || files.id_of(static_cast<int>(a[0])) == target) return done(-EINVAL);
  epoll_event wanted{};
  if (a[1] != EPOLL_CTL_DEL) {
    const auto loaded = memory.load<epoll_event>(a[3]);
    if (!loaded) return done(-EFAULT);
    wanted = *loaded;
  }
  const std::pair key{descriptor, *target};
  const OpenFile& file = files.at(*target);
  const Interest interest{wanted.events, wanted.data.u64, file.changes - 1};
  switch (a[1]) {
    case EPOLL_CTL_ADD:
      if (epoll->interests.contains(key)) return done(-EEXIST);
      // Regular files cannot be watched. What is outside is known to be one by what it answered.
      if (is_outside(*target, files)) {
        const auto event = answers.take(request, watcher->object);
        const bool regular = file.object && answers.recording().is_file(*file.object);
        if (event && answers.recording().call(*event).arguments[2] == a[2]) {
          const int64_t result = answers.recording().call(*event).result;
          if (result < 0) return done(result);
        } else if (regular) {
          return done(-EPERM);
        }
      }
      epoll->interests[key] = interest;
      return done(0);
    case EPOLL_CTL_MOD:
      if (!epoll->interests.contains(key)) return done(-ENOENT);
      epoll->interests[key] = interest;
      return done(0);
    case EPOLL_CTL_DEL:
      return done(epoll->interests.erase(key) ? 0 : -ENOENT);
    default:
      return done(-EINVAL);
  }
}

}  // namespace heddle::model
