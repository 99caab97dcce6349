#include "machine/tracee/host_thread.h"

#include <elf.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <cstring>
#include <system_error>

namespace heddle {
namespace {

[[noreturn]] void fail(const char* what, pid_t tid) {
  if (errno == ESRCH) throw TraceeGone("thread " + std::to_string(tid) + " is gone");
  throw std::system_error(errno, std::generic_category(),
                          std::string(what) + " of thread " + std::to_string(tid));
}

}  // namespace

user_regs_struct HostThread::registers() const {
  user_regs_struct regs;
  if (ptrace(PTRACE_GETREGS, tid_, nullptr, &regs) != 0) fail("reading registers", tid_);
  return regs;
}

void HostThread::set_registers(const user_regs_struct& regs) {
  if (ptrace(PTRACE_SETREGS, tid_, nullptr, &regs) != 0) fail("writing registers", tid_);
}

RawExtendedState HostThread::extended_state() const {
  RawExtendedState state(16384);
  iovec io{state.data(), state.size()};
  if (ptrace(PTRACE_GETREGSET, tid_, NT_X86_XSTATE, &io) != 0)
    fail("reading extended registers", tid_);
  state.resize(io.iov_len);
  return state;
}

void HostThread::set_extended_state(const RawExtendedState& state) {
  iovec io{const_cast<uint8_t*>(state.data()), state.size()};
  if (ptrace(PTRACE_SETREGSET, tid_, NT_X86_XSTATE, &io) != 0)
    fail("writing extended registers", tid_);
}

siginfo_t HostThread::signal_info() const {
  siginfo_t info;
  if (ptrace(PTRACE_GETSIGINFO, tid_, nullptr, &info) != 0) fail("reading siginfo", tid_);
  return info;
}

uint64_t HostThread::event_message() const {
  unsigned long message = 0;
  if (ptrace(PTRACE_GETEVENTMSG, tid_, nullptr, &message) != 0) fail("reading event", tid_);
  return message;
}

uint64_t HostThread::signal_mask() const {
  uint64_t mask = 0;
  if (ptrace(static_cast<__ptrace_request>(PTRACE_GETSIGMASK), tid_, sizeof mask, &mask) != 0)
    fail("reading the signal mask", tid_);
  return mask;
}

void HostThread::set_signal_mask(uint64_t mask) {
  if (ptrace(static_cast<__ptrace_request>(PTRACE_SETSIGMASK), tid_, sizeof mask, &mask) != 0)
    fail("setting the signal mask", tid_);
}

void HostThread::resume(int signal) {
  // Killed while it was stopped, it may be in the last stop of its life already. Resumed from there
  // unseen, the first thread of a process would not be reported before all others are reaped.
  siginfo_t news{};
  if (waitid(P_PID, static_cast<id_t>(tid_), &news, WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0 &&
      news.si_pid == tid_ && news.si_status == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
    throw TraceeGone("thread " + std::to_string(tid_) + " was killed");
  if (ptrace(PTRACE_CONT, tid_, nullptr, signal) != 0) fail("resuming", tid_);
}

void HostThread::listen() {
  if (ptrace(PTRACE_LISTEN, tid_, nullptr, nullptr) != 0) fail("listening", tid_);
}

void HostThread::detach(int signal) {
  if (ptrace(PTRACE_DETACH, tid_, nullptr, signal) != 0) fail("detaching", tid_);
}

void HostThread::interrupt() {
  if (ptrace(PTRACE_INTERRUPT, tid_, nullptr, nullptr) != 0) fail("interrupting", tid_);
}

int HostThread::wait() const {
  int status = 0;
  while (waitpid(tid_, &status, __WALL) < 0) {
    if (errno == ECHILD) throw TraceeGone("thread " + std::to_string(tid_) + " is gone");
    if (errno != EINTR) fail("waiting", tid_);
  }
  return status;
}

std::optional<int> HostThread::poll() const {
  int status = 0;
  const pid_t got = waitpid(tid_, &status, __WALL | WNOHANG);
  if (got < 0) {
    if (errno == ECHILD) throw TraceeGone("thread " + std::to_string(tid_) + " is gone");
    fail("waiting", tid_);
  }
  if (got == 0) return std::nullopt;
  return status;
}

bool is_signal_stop(int status, int signal) {
  return WIFSTOPPED(status) && (status >> 8) == signal;
}

bool is_group_stop(int status) {
  return stop_event(status) == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP;
}

int stop_event(int status) {
  return WIFSTOPPED(status) ? status >> 16 : 0;
}

}  // namespace heddle
