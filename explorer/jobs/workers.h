// Processes that work for this one: forked from it, asked and answering in messages.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace heddle {

// A worker sees this process's memory as it was when the worker was forked: at the first request to
// it, or at the first one after it died. They end with this process, or when this is destroyed.
class Workers {
 public:
  using Reply = std::function<void(const std::string&)>;
  // Runs in a worker, for each request; may reply any number of times. What it throws ends the
  // worker.
  using Serve = std::function<void(const std::string& request, const Reply& reply)>;

  Workers(size_t count, Serve serve);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  size_t count() const { return workers_.size(); }
  // Was it started, and has not been seen to have died?
  bool alive(size_t worker) const { return workers_[worker].pid != 0; }
  // Requests are served in order. Throws std::system_error where no process can be had.
  void send(size_t worker, const std::string& request);
  // The worker's next reply; waits for it. Nothing: it died, with all that it was asked.
  std::optional<std::string> receive(size_t worker);
  // Ends the worker, whatever it does; the next request starts another.
  void stop(size_t worker);

 private:
  struct Worker {
    pid_t pid = 0;
    int socket = -1;
  };
  void start(size_t worker);
  [[noreturn]] void work(int socket);

  Serve serve_;
  std::vector<Worker> workers_;
};

}  // namespace heddle
