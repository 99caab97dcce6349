#include "replayer/lockstep.h"

#include <memory>

#include "machine/tracee/state_hash.h"
#include "replayer/divergence.h"
#include "replayer/replayer.h"

namespace heddle {
namespace {

constexpr uint64_t kMemoryEvery = 64;  // events between two comparisons of the whole memory

std::string where(const Place& place) {
  return describe(place);
}

// How the state of `task` differs in the two guests; empty if it does not.
std::string differing_state(Guest& usual, Guest& logged, TaskId task) {
  std::string text = differing_registers(usual.task(task).registers, logged.task(task).registers);
  if (!text.empty()) return text + " (expected: usual translation, actual: logging one)";
  if (usual.task(task).ticks != logged.task(task).ticks)
    return "ticks " + std::to_string(usual.task(task).ticks) + " and " +
           std::to_string(logged.task(task).ticks);
  if (usual.extended_state(task).bytes != logged.extended_state(task).bytes)
    return "vector or x87 registers differ";
  return {};
}

std::string differing_memory(Guest& usual, Guest& logged) {
  for (const auto& range : hash_memory(usual.memory())) {
    if (hash_range(logged.memory(), range.start, range.size) == range.hash) continue;
    std::vector<uint8_t> a(4096), b(4096);
    for (uint64_t page = range.start; page < range.start + range.size; page += a.size()) {
      usual.memory().read(page, a);
      logged.memory().read(page, b);
      for (size_t i = 0; i < a.size(); ++i) {
        if (a[i] == b[i]) continue;
        char text[96];
        std::snprintf(text, sizeof text, "the byte at 0x%llx is 0x%02x and 0x%02x",
                      static_cast<unsigned long long>(page) + i, a[i], b[i]);
        return text;
      }
    }
  }
  return {};
}

class Lockstep {
 public:
  Lockstep(const std::vector<Event>& recording, const PinnedFiles& files) : recording_(recording) {
    usual_ = std::make_unique<Replayer>(recording.front(), files, OutputSink{});
    translator::Options options;
    options.log_accesses = true;
    logged_ = std::make_unique<Replayer>(recording.front(), files, OutputSink{}, options);
    logged_->on_instrumentation = [this](const Exit&) {
      logged_->guest().cpu().drain_log();
      logged_->guest().cpu().resume_after_log();
    };
  }

  LockstepResult run() {
    for (size_t i = 1; i < recording_.size(); ++i) {
      const Event& event = recording_[i];
      checkpoint(event.place.task);
      const std::string failed_usual = advance(*usual_, event);
      const std::string failed_logged = advance(*logged_, event);
      std::string difference;
      if (!failed_usual.empty() || !failed_logged.empty()) {
        difference =
            failed_usual == failed_logged || (!failed_usual.empty() && !failed_logged.empty())
                ? "both translations leave the recording: " + failed_usual
            : failed_usual.empty()
                ? "only the logging translation leaves the recording: " + failed_logged
                : "only the usual translation leaves the recording: " + failed_usual;
      } else if (usual_->exit_status()) {
        ++result_.events;
        break;
      } else {
        const TaskId task = event.place.task;
        if (usual_->guest().has_task(task))
          difference = differing_state(usual_->guest(), logged_->guest(), task);
        const bool hash = std::holds_alternative<event::StateHash>(event.body);
        if (difference.empty() && (hash || i % kMemoryEvery == 0 || i + 2 >= recording_.size()))
          difference = differing_memory(usual_->guest(), logged_->guest());
        if (hash) ++result_.hashes;
      }
      if (!difference.empty()) {
        result_.agreed = false;
        result_.difference = report(event, difference);
        return result_;
      }
      logged_->guest().cpu().drain_log();
      ++result_.events;
    }
    return result_;
  }

 private:
  static std::string advance(Replayer& replayer, const Event& event) {
    try {
      replayer.advance(event);
      return {};
    } catch (const Divergence& divergence) {
      return divergence.what();
    }
  }

  void checkpoint(TaskId task) {
    const auto copy = [&](Replayer& of) {
      Guest* guest = of.guest_of(task);
      return guest ? guest->fork() : nullptr;
    };
    before_usual_ = copy(*usual_);
    before_logged_ = copy(*logged_);
  }

  // A copy of `from`, `ticks` of its task later; nothing where it does not get so far.
  static std::unique_ptr<Guest> later(Guest& from, TaskId task, Ticks ticks) {
    auto copy = from.fork();
    Exit exit = copy->run(task, ticks);
    while (exit.kind == Exit::Kind::log_full) {
      copy->cpu().drain_log();
      copy->cpu().resume_after_log();
      exit = copy->cpu().wait(copy->task(task));
    }
    return exit.kind == Exit::Kind::budget ? std::move(copy) : nullptr;
  }

  // True if both are in the same state after so many ticks.
  bool same_after(TaskId task, Ticks ticks, std::string& difference, Place& place) {
    if (ticks == 0) return true;
    const auto a = later(*before_usual_, task, ticks), b = later(*before_logged_, task, ticks);
    if (!a && !b) return true;  // both have left for an event by then
    if (!a || !b) {
      difference = "only one translation gets that far without an event";
      return false;
    }
    place = a->task(task).place();
    difference = differing_state(*a, *b, task);
    if (difference.empty()) difference = differing_memory(*a, *b);
    return difference.empty();
  }

  std::string report(const Event& event, const std::string& difference) {
    std::string text = "event " + std::to_string(event.number) + ", " + describe(event.body) +
                       " (" + where(event.place) + "): " + difference + "\n";
    const TaskId task = event.place.task;
    if (!before_usual_ || !before_usual_->has_task(task)) return text;
    const Place from = before_usual_->task(task).place();
    text += "the last state known to be right: " + where(from) + "\n";
    const Ticks begin = from.ticks;
    if (event.place.ticks <= begin) return text + "no tick lies between: one stretch of code\n";
    Ticks good = 0, bad = event.place.ticks - begin;
    std::string first;
    Place place = event.place;
    if (same_after(task, bad, first, place))
      return text +
             "both translations agree up to the event: the recording itself differs; record "
             "again with --hash-every " +
             std::to_string(std::max<Ticks>(1, bad / 16)) + " to see where\n";
    while (bad - good > 1) {
      const Ticks middle = good + (bad - good) / 2;
      std::string why;
      Place at;
      if (same_after(task, middle, why, at)) {
        good = middle;
      } else {
        bad = middle;
        first = why;
        place = at;
      }
    }
    return text + "the state first differs after tick " + std::to_string(begin + bad) + " (" +
           where(place) + "): " + first + "\n";
  }

  const std::vector<Event>& recording_;
  std::unique_ptr<Replayer> usual_, logged_;
  std::unique_ptr<Guest> before_usual_, before_logged_;
  LockstepResult result_;
};

}  // namespace

LockstepResult run_in_lockstep(const std::vector<Event>& recording, const PinnedFiles& files) {
  return Lockstep(recording, files).run();
}

}  // namespace heddle
