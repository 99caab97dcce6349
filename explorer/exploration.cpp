#include "explorer/exploration.h"

#include <elfutils/libdwfl.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>
#include <stdexcept>

#include "explorer/strategies/random_at_accesses.h"
#include "replayer/replayer.h"
#include "trace_format/writer.h"

namespace heddle {
namespace {

constexpr uint64_t kMinimiserTrials = 400;

}  // namespace

Exploration::Exploration(const std::filesystem::path& trace) : directory_(trace), reader_(trace) {
  recording_ = std::make_shared<const std::vector<Event>>(reader_.read_all());
  if (recording_->empty() || !std::holds_alternative<event::Exec>(recording_->front().body))
    throw TraceError(trace.string() + ": the trace does not begin with a program");
  if (!reader_.cut_off().empty()) throw TraceError(reader_.cut_off());
  cpuid_ = cpuid_answers(*recording_);
}

void Exploration::analyse() {
  translator::Options options;
  options.log_accesses = true;
  Replayer replayer(
      recording_->front(), [this](const std::string& content) { return reader_.pinned(content); },
      [this](int stream, std::span<const uint8_t> bytes) {
        (stream == 1 ? output_ : error_).append(bytes.begin(), bytes.end());
      },
      options);
  RaceDetector detector;
  std::map<TaskId, uint64_t> clear_tid;
  const auto drain = [&] {
    Guest& guest = replayer.guest();
    for (const auto& entry : guest.cpu().drain_log()) {
      Access access;
      access.strand = guest.current();
      access.place = {guest.current(), 0, entry.pc, 0};
      access.address = entry.address;
      access.size = entry.size;
      access.kind = static_cast<AccessKind>(entry.kind);
      detector.access(access);
    }
  };
  replayer.on_instrumentation = [&](const Exit&) {
    drain();
    replayer.guest().cpu().resume_after_log();
  };
  for (size_t i = 1; i < recording_->size(); ++i) {
    const Event& event = (*recording_)[i];
    const TaskId task = event.place.task;
    replayer.advance(event);
    drain();
    if (const auto* call = std::get_if<event::Syscall>(&event.body)) {
      const auto& a = call->arguments;
      if (call->child != 0) {
        detector.fork(task, call->child);
        for (const auto& effect : call->effects) clear_tid[call->child] = effect.address;
      }
      if (call->number == SYS_futex) {
        const auto command = a[1] & FUTEX_CMD_MASK;
        if (command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET) detector.futex_wake(task, a[0]);
        if (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET)
          detector.futex_wait_returned(task, a[0]);
      }
      if (call->number == SYS_munmap) detector.forget(a[0], a[1]);
    } else if (const auto* end = std::get_if<event::TaskExit>(&event.body)) {
      for (const auto& effect : end->effects) detector.futex_wake(task, effect.address);
    } else if (const auto* over = std::get_if<event::ProcessExit>(&event.body)) {
      status_ = over->status;
    }
  }
  for (const auto& race : detector.races()) {
    points_.insert(race.first.place.pc);
    points_.insert(race.second.place.pc);
    summary_.races.push_back({race, site(race.first.place.pc), site(race.second.place.pc)});
  }
  summary_.pairs = summary_.races.size();
}

ModelState& Exploration::start() {
  if (start_) return *start_;
  translator::Options options;
  options.points = &points_;
  const auto& exec = std::get<event::Exec>(recording_->front().body);
  auto guest = std::make_unique<Guest>(
      exec, [this](const std::string& content) { return reader_.pinned(content); }, options);
  start_.reset(new ModelState{std::move(guest), ModelKernel(recording_), 1, 0, {}, 0});
  ModelRun prefix(*start_, cpuid_, {});
  prefix.run_to_first_clone();
  return *start_;
}

// What a finished run means, next to the recording.
void Exploration::judge(RunOutcome& outcome) const {
  if (outcome.verdict != Verdict::same) return;
  if (outcome.status != status_) {
    outcome.verdict = Verdict::failed;
    outcome.reason = "the program ended otherwise";
  } else if (outcome.output != output_ || outcome.error != error_) {
    outcome.verdict = Verdict::changed;
    outcome.reason = "the output differs";
  }
}

RunOutcome Exploration::run_schedule(const Schedule& schedule) {
  ModelState state = start().fork();
  RunOutcome outcome = ModelRun(state, cpuid_, {}).follow(schedule);
  judge(outcome);
  return outcome;
}

std::optional<Failure> Exploration::search(
    uint64_t seed, uint64_t schedules,
    const std::function<void(const ExplorationSummary&)>& progress) {
  RandomAtAccesses strategy(seed);
  for (uint64_t run = 0; run < schedules; ++run) {
    ModelState state = start().fork();
    strategy.begin(run);
    RunOutcome outcome = ModelRun(state, cpuid_, {}).run(strategy);
    judge(outcome);
    ++summary_.schedules;
    if (outcome.verdict == Verdict::infeasible) ++summary_.infeasible[outcome.reason];
    if (progress) progress(summary_);
    if (outcome.verdict == Verdict::same || outcome.verdict == Verdict::infeasible) continue;
    const RunOutcome again = run_schedule(outcome.schedule);
    if (again.verdict != outcome.verdict || again.output != outcome.output) {
      ++summary_.infeasible["a failing schedule did not fail again"];
      continue;
    }
    const uint64_t steps = outcome.schedule.steps.size();
    return Failure{minimise(std::move(outcome)), summary_.schedules, steps, output_};
  }
  return std::nullopt;
}

// Drops steps, in halves and then ever smaller pieces, as long as the run ends in the same verdict
// (delta debugging: Zeller and Hildebrandt, IEEE TSE 28(2), 2002).
RunOutcome Exploration::minimise(RunOutcome failing) {
  uint64_t trials = 0;
  size_t piece = std::max<size_t>(1, failing.schedule.steps.size() / 2);
  while (trials < kMinimiserTrials) {
    bool smaller = false;
    for (size_t at = 0; at < failing.schedule.steps.size() && trials < kMinimiserTrials;) {
      Schedule fewer = failing.schedule;
      const auto from = fewer.steps.begin() + static_cast<std::ptrdiff_t>(at);
      const auto count = std::min(piece, fewer.steps.size() - at);
      fewer.steps.erase(from, from + static_cast<std::ptrdiff_t>(count));
      ++trials;
      RunOutcome outcome = run_schedule(fewer);
      if (outcome.verdict == failing.verdict) {
        failing = std::move(outcome);
        smaller = true;
      } else {
        at += count;
      }
    }
    if (piece == 1 && !smaller) break;
    piece = std::max<size_t>(1, piece / 2);
  }
  return failing;
}

void Exploration::store(const Failure& failure, const std::filesystem::path& directory) {
  TraceWriter writer(directory);
  const auto pin = [&](const std::optional<FileRange>& file) {
    if (file) writer.pin(reader_.pinned(file->content));
  };
  const Event& exec = recording_->front();
  for (const auto& mapping : std::get<event::Exec>(exec.body).mappings) pin(mapping.file);
  writer.append(exec);
  for (const auto& event : failure.outcome.events) {
    if (const auto* call = std::get_if<event::Syscall>(&event.body)) pin(call->file);
    writer.append(event);
  }
  writer.finish();
  TraceReader trace(directory);
  const auto first = trace.next();
  Replayer replayer(*first, [&](const std::string& content) { return trace.pinned(content); }, {});
  while (const auto event = trace.next()) replayer.advance(*event);
}

std::string Exploration::site(uint64_t pc) const {
  static const Dwfl_Callbacks callbacks = {dwfl_build_id_find_elf, dwfl_standard_find_debuginfo,
                                           dwfl_offline_section_address, nullptr};
  char text[64];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(pc));
  Dwfl* dwfl = dwfl_begin(&callbacks);
  const auto report = [&](uint64_t start, uint64_t size, const std::optional<FileRange>& file) {
    if (!file || pc - start >= size) return;
    // The first page of the file lies where the module was loaded.
    uint64_t base = start - file->offset;
    const auto consider = [&](uint64_t at, const std::optional<FileRange>& other) {
      if (other && other->content == file->content && other->offset == 0) base = at;
    };
    for (const auto& m : std::get<event::Exec>(recording_->front().body).mappings)
      consider(m.start, m.file);
    for (const auto& event : *recording_)
      if (const auto* call = std::get_if<event::Syscall>(&event.body))
        consider(static_cast<uint64_t>(call->result), call->file);
    const auto path = reader_.pinned(file->content);
    dwfl_report_elf(dwfl, path.c_str(), path.c_str(), -1, base, false);
  };
  for (const auto& m : std::get<event::Exec>(recording_->front().body).mappings)
    report(m.start, m.size, m.file);
  for (const auto& event : *recording_)
    if (const auto* call = std::get_if<event::Syscall>(&event.body); call && call->result > 0)
      report(static_cast<uint64_t>(call->result), call->arguments[1], call->file);
  dwfl_report_end(dwfl, nullptr, nullptr);
  std::string out = text;
  if (Dwfl_Module* module = dwfl_addrmodule(dwfl, pc)) {
    if (const char* name = dwfl_module_addrname(module, pc)) out = name;
    if (Dwfl_Line* line = dwfl_module_getsrc(module, pc)) {
      int number = 0;
      if (const char* file = dwfl_lineinfo(line, nullptr, &number, nullptr, nullptr, nullptr))
        out += std::string(" ") + file + ":" + std::to_string(number);
    }
  }
  dwfl_end(dwfl);
  return out;
}

}  // namespace heddle
