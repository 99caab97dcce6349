#include "explorer/jobs/workers.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace heddle {
namespace {

// A message is its length, 8 bytes, and itself.
bool write_all(int socket, const void* data, size_t size) {
  const auto* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t put = send(socket, from, size, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    from += put;
    size -= static_cast<size_t>(put);
  }
  return true;
}

bool read_all(int socket, void* data, size_t size) {
  auto* to = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = read(socket, to, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

bool write_message(int socket, const std::string& message) {
  std::string framed(sizeof(uint64_t), '\0');
  const uint64_t size = message.size();
  framed.replace(0, sizeof size, reinterpret_cast<const char*>(&size), sizeof size);
  framed += message;
  return write_all(socket, framed.data(), framed.size());
}

std::optional<std::string> read_message(int socket) {
  uint64_t size = 0;
  if (!read_all(socket, &size, sizeof size)) return std::nullopt;
  std::string message(size, '\0');
  if (!read_all(socket, message.data(), size)) return std::nullopt;
  return message;
}

}  // namespace

Workers::Workers(size_t count, Serve serve) : serve_(std::move(serve)), workers_(count) {}

Workers::~Workers() {
  for (size_t i = 0; i < workers_.size(); ++i) stop(i);
}

void Workers::work(int socket) {
  try {
    while (const auto request = read_message(socket))
      serve_(*request, [&](const std::string& reply) {
        if (!write_message(socket, reply)) _exit(0);
      });
  } catch (const std::exception& error) {
    spdlog::info("a worker ends: {}", error.what());
    _exit(1);
  }
  _exit(0);
}

void Workers::start(size_t index) {
  std::array<int, 2> ends;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw std::system_error(errno, std::generic_category(), "a socket for a worker");
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    const int error = errno;
    close(ends[0]);
    close(ends[1]);
    throw std::system_error(error, std::generic_category(), "starting a worker");
  }
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    // An interrupt from the terminal is for the process that started us; it ends us.
    signal(SIGINT, SIG_IGN);
    close(ends[0]);
    for (const Worker& other : workers_)
      if (other.socket >= 0) close(other.socket);
    work(ends[1]);
  }
  close(ends[1]);
  workers_[index] = {pid, ends[0]};
}

void Workers::send(size_t worker, const std::string& request) {
  if (workers_[worker].pid == 0) start(worker);
  // A worker that died meanwhile shows when it is to answer.
  write_message(workers_[worker].socket, request);
}

std::optional<std::string> Workers::receive(size_t worker) {
  if (workers_[worker].pid == 0) return std::nullopt;
  auto message = read_message(workers_[worker].socket);
  if (!message) stop(worker);
  return message;
}

void Workers::stop(size_t index) {
  Worker& worker = workers_[index];
  if (worker.pid == 0) return;
  kill(worker.pid, SIGKILL);
  while (waitpid(worker.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  close(worker.socket);
  worker = {};
}

}  // namespace heddle
