// One kernel thread under ptrace.
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace heddle {

// The tracee is gone (killed from outside, or it ended) while we were about to act on it.
class TraceeGone : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Extended registers as PTRACE_GETREGSET(NT_X86_XSTATE) gives them: the XSAVE standard format.
using RawExtendedState = std::vector<uint8_t>;

// A thread that we traced with PTRACE_SEIZE. All calls but wait(), poll() and kill() need it
// stopped. Does not own the thread's life: ends with PTRACE_O_EXITKILL or when the caller kills it.
class HostThread {
 public:
  HostThread() = default;
  explicit HostThread(pid_t tid) : tid_(tid) {}

  pid_t tid() const { return tid_; }

  user_regs_struct registers() const;
  void set_registers(const user_regs_struct& regs);
  RawExtendedState extended_state() const;
  void set_extended_state(const RawExtendedState& state);
  siginfo_t signal_info() const;
  uint64_t event_message() const;
  uint64_t signal_mask() const;
  void set_signal_mask(uint64_t mask);

  // Lets the thread run, delivering `signal` (0: none). Throws TraceeGone where it was killed
  // since its stop; what it reports is then still to be waited for.
  void resume(int signal = 0);
  // After a group-stop: stay stopped but let SIGCONT end it.
  void listen();
  void detach(int signal = 0);
  // Asks a running thread to stop: with PTRACE_EVENT_STOP, unless it stops for something else
  // first.
  void interrupt();

  // Waits for the next change of state; returns wait(2)'s status word.
  int wait() const;
  // The same without waiting.
  std::optional<int> poll() const;

 private:
  pid_t tid_ = 0;
};

// True where `status` is a signal-delivery-stop of that signal (not a ptrace event stop).
bool is_signal_stop(int status, int signal);
// True where `status` says that a signal has stopped the thread's process (not the thread alone).
bool is_group_stop(int status);
// The ptrace event (PTRACE_EVENT_*) of a stop, or 0.
int stop_event(int status);

}  // namespace heddle
