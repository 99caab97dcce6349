#include "explorer/jobs/search_jobs.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <type_traits>

namespace heddle {
namespace {

enum class Ask : uint8_t { runs, follow };

// Fields one after the other, between copies of this very program.
class Message {
 public:
  Message() = default;
  explicit Message(const std::string& text) : text_(text) {}

  template <typename T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& value) { text_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void put(const std::string& value) {
    put(value.size());
    text_ += value;
  }
  template <typename T>
  T get() {
    T value{};
    if constexpr (std::is_same_v<T, std::string>) {
      const auto size = get<size_t>();
      value.assign(text_, at_, size);
      at_ += size;
    } else {
      if (at_ + sizeof value > text_.size()) throw std::logic_error("a worker's message is short");
      std::memcpy(&value, text_.data() + at_, sizeof value);
      at_ += sizeof value;
    }
    return value;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  size_t at_ = 0;
};

void put(Message& message, const RunOutcome& outcome) {
  message.put(outcome.verdict);
  message.put(outcome.status);
  message.put(outcome.ticks);
  message.put(outcome.reason);
  message.put(outcome.output);
  message.put(outcome.error);
  message.put(outcome.schedule.steps.size());
  for (const ScheduleStep& step : outcome.schedule.steps) message.put(step);
}

RunOutcome get_outcome(Message& message) {
  RunOutcome outcome;
  outcome.verdict = message.get<Verdict>();
  outcome.status = message.get<int>();
  outcome.ticks = message.get<Ticks>();
  outcome.reason = message.get<std::string>();
  outcome.output = message.get<std::string>();
  outcome.error = message.get<std::string>();
  outcome.schedule.steps.resize(message.get<size_t>());
  for (ScheduleStep& step : outcome.schedule.steps) step = message.get<ScheduleStep>();
  return outcome;
}

RunLimits of_search() {
  RunLimits limits;
  limits.keep_events = false;
  return limits;
}

}  // namespace

SearchJobs::SearchJobs(size_t jobs, MakeRuns runs, Strategy& strategy, uint64_t most)
    : make_runs_(std::move(runs)),
      strategy_(strategy),
      most_(most),
      workers_(std::max<size_t>(jobs, 1),
               [this](const std::string& request, const Workers::Reply& reply) {
                 serve(request, reply);
               }) {}

Runs& SearchJobs::runs_here() {
  if (!here_) here_ = make_runs_(Runs::In::this_process);
  return *here_;
}

void SearchJobs::serve(const std::string& request, const Workers::Reply& reply) {
  Message asked(request);
  if (asked.get<Ask>() == Ask::follow) {
    Schedule schedule;
    schedule.steps.resize(asked.get<size_t>());
    for (ScheduleStep& step : schedule.steps) step = asked.get<ScheduleStep>();
    Message message;
    put(message, runs_here().follow(schedule, of_search()));
    reply(message.text());
    return;
  }
  const auto index = asked.get<size_t>();
  const auto from = asked.get<uint64_t>(), to = asked.get<uint64_t>();
  std::vector<std::string> lessons(asked.get<size_t>());
  for (auto& lesson : lessons) lesson = asked.get<std::string>();
  if (!lessons.empty()) strategy_.learn(lessons);
  for (uint64_t number = from; number < to; ++number) {
    if (worker_of(number) != index) continue;
    const RunOutcome outcome = runs_here().run(strategy_, number, of_search());
    Message message;
    put(message, outcome);
    message.put(strategy_.name());
    message.put(strategy_.describe());
    message.put(strategy_.lesson());
    reply(message.text());
  }
}

void SearchJobs::ask(size_t worker, uint64_t from, uint64_t to,
                     const std::vector<std::string>& lessons) {
  Message message;
  message.put(Ask::runs);
  message.put(worker);
  message.put(from);
  message.put(to);
  message.put(lessons.size());
  for (const auto& lesson : lessons) message.put(lesson);
  workers_.send(worker, message.text());
}

// All runs, or as many as the strategy makes before it learns from them.
void SearchJobs::ask_round() {
  const uint64_t round = strategy_.round();
  const uint64_t begin = round_end_;
  round_end_ = round == 0 ? most_ : std::min(most_, begin + round);
  for (size_t i = 0; i < workers_.count(); ++i) ask(i, begin, round_end_, lessons_);
  // A worker that is started later has learnt it from this process.
  if (!lessons_.empty()) strategy_.learn(lessons_);
  lessons_.clear();
}

TriedRun SearchJobs::run_apart(uint64_t number) {
  if (!apart_) apart_ = make_runs_(Runs::In::own_process);
  TriedRun tried;
  tried.outcome = apart_->run(strategy_, number, of_search());
  return tried;
}

std::optional<TriedRun> SearchJobs::next() {
  if (!searching_ || next_ == most_) return std::nullopt;
  if (next_ == round_end_) ask_round();
  const uint64_t number = next_++;
  TriedRun tried;
  std::string lesson;
  if (const auto reply = workers_.receive(worker_of(number))) {
    Message message(*reply);
    tried.outcome = get_outcome(message);
    tried.strategy = message.get<std::string>();
    tried.description = message.get<std::string>();
    lesson = message.get<std::string>();
  } else {
    tried = run_apart(number);
    tried.strategy = strategy_.name();
    tried.description = strategy_.describe();
    lesson = strategy_.lesson();
    if (next_ < round_end_) ask(worker_of(number), next_, round_end_, {});
  }
  tried.number = number;
  if (strategy_.round() != 0) lessons_.push_back(std::move(lesson));
  return tried;
}

RunOutcome SearchJobs::follow(const Schedule& schedule) {
  if (searching_) {
    // Whatever they are doing is of no use any more.
    for (size_t i = 0; i < workers_.count(); ++i) workers_.stop(i);
    searching_ = false;
  }
  Message message;
  message.put(Ask::follow);
  message.put(schedule.steps.size());
  for (const ScheduleStep& step : schedule.steps) message.put(step);
  workers_.send(0, message.text());
  if (const auto reply = workers_.receive(0)) {
    Message answered(*reply);
    RunOutcome outcome = get_outcome(answered);
    return outcome;
  }
  if (!apart_) apart_ = make_runs_(Runs::In::own_process);
  return apart_->follow(schedule, of_search());
}

}  // namespace heddle
