#include "cli/recording_signals.h"

#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include <atomic>
#include <cerrno>

namespace heddle::cli {
namespace {

constexpr int kHandled[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ, SIGALRM};
constexpr long kAgain = 20'000;                   // µs
constexpr uint64_t kTwiceWithin = 1'000'000'000;  // ns

// A signal handler has no other way to them.
std::atomic<Recorder*> concerned = nullptr;
std::atomic<int> asked_before = 0;  // ... there was a recorder: a signal to be passed on to it
std::atomic<uint64_t> last_from_terminal = 0;

uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// The recorder may be just about to sleep: it is woken until it has seen what there is.
void wake_in(uint64_t ns) {
  const auto us = static_cast<long>(ns / 1000);
  const itimerval when{{0, kAgain}, {us / 1'000'000, us % 1'000'000 + (us == 0)}};
  setitimer(ITIMER_REAL, &when, nullptr);
}

bool twice_from_terminal() {
  const uint64_t now = now_ns();
  return now - last_from_terminal.exchange(now) < kTwiceWithin;
}

void handle(int signal, siginfo_t* info, void*) {
  const int error = errno;
  Recorder* recorder = concerned;
  const bool from_terminal = info->si_code > 0;
  if (signal == SIGPIPE || signal == SIGXFSZ) {
    // The write fails.
  } else if (signal == SIGALRM) {
    if (recorder && !recorder->needs_waking()) {
      const itimerval never{};
      setitimer(ITIMER_REAL, &never, nullptr);
    }
  } else if (from_terminal) {
    if (recorder && signal != SIGHUP && twice_from_terminal()) {
      recorder->ask_to_stop();
      wake_in(0);
    }
  } else if (recorder) {
    if (signal == SIGINT)
      recorder->ask_to_stop();
    else
      recorder->pass_on(signal);
    wake_in(0);
  } else {
    asked_before = signal;
  }
  errno = error;
}

}  // namespace

RecordingSignals::RecordingSignals() {
  for (const int signal : kHandled) {
    struct sigaction before {
    }, wanted{};
    wanted.sa_sigaction = handle;
    wanted.sa_flags = SA_SIGINFO;
    sigaction(signal, &wanted, &before);
    if (before.sa_handler == SIG_IGN) ignored_.push_back(signal);
  }
}

RecordingSignals::~RecordingSignals() {
  const itimerval never{};
  setitimer(ITIMER_REAL, &never, nullptr);
  concerned = nullptr;
}

void RecordingSignals::concern(Recorder& recorder, uint64_t max_ns) {
  concerned = &recorder;
  if (max_ns != 0) wake_in(max_ns);
  if (const int signal = asked_before.exchange(0)) {
    if (signal == SIGINT)
      recorder.ask_to_stop();
    else
      recorder.pass_on(signal);
    wake_in(0);
  }
}

}  // namespace heddle::cli
