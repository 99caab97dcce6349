#include "explorer/jobs/search_jobs.h"

#include <algorithm>
#include <utility>

namespace heddle {
namespace {

enum class Ask : uint8_t { runs, follow, follow_loosely };

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

RunLimits of_search(const Strategy& strategy) {
  RunLimits limits;
  limits.keep_events = false;
  limits.faults = strategy.injects_faults();
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
               }),
      replies_(workers_.count()) {}

Runs& SearchJobs::runs_here() {
  if (!here_) here_ = make_runs_(Runs::In::this_process);
  return *here_;
}

RunOutcome SearchJobs::follow_in(Runs& runs, const Schedule& schedule, bool loosely) const {
  const RunLimits limits = of_search(strategy_);
  return loosely ? runs.follow_loosely(schedule, limits) : runs.follow(schedule, limits);
}

void SearchJobs::serve(const std::string& request, const Workers::Reply& reply) {
  Message asked(request);
  const Ask what = asked.get<Ask>();
  if (what != Ask::runs) {
    Schedule schedule;
    schedule.steps.resize(asked.get<size_t>());
    for (ScheduleStep& step : schedule.steps) step = asked.get<ScheduleStep>();
    Message message;
    put(message, follow_in(runs_here(), schedule, what == Ask::follow_loosely));
    reply(message.text());
    return;
  }
  const auto index = asked.get<size_t>();
  const auto from = asked.get<uint64_t>(), to = asked.get<uint64_t>();
  std::vector<std::string> lessons(asked.get<size_t>());
  for (auto& lesson : lessons) lesson = asked.get<std::string>();
  if (!lessons.empty()) strategy_.learn(lessons);
  Message message;
  for (uint64_t number = from; number < to; ++number) {
    if (worker_of(number) != index) continue;
    const RunOutcome outcome = runs_here().run(strategy_, number, of_search(strategy_));
    put(message, outcome);
    message.put(strategy_.name());
    message.put(strategy_.describe());
    message.put(strategy_.met());
    message.put(strategy_.lesson());
    // Few messages, each with whole batches; the first at once.
    if (number > from && (number + 1) % kBatch != 0 && number + 1 != to) continue;
    reply(message.text());
    message = {};
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
bool SearchJobs::ask_round() {
  const std::vector<std::string> lessons = std::exchange(lessons_, {});
  // A worker that is started from now on has learnt what this process has.
  std::vector<bool> must_learn(workers_.count());
  for (size_t i = 0; i < must_learn.size(); ++i) must_learn[i] = workers_.alive(i);
  if (!lessons.empty()) strategy_.learn(lessons);
  if (!strategy_.finished().empty()) return false;
  const uint64_t round = strategy_.round(), begin = round_end_;
  round_end_ = round == 0 ? most_ : std::min(most_, begin + round);
  for (size_t i = 0; i < workers_.count(); ++i)
    ask(i, begin, round_end_, must_learn[i] ? lessons : std::vector<std::string>());
  return true;
}

TriedRun SearchJobs::run_apart(uint64_t number) {
  if (!apart_) apart_ = make_runs_(Runs::In::own_process);
  TriedRun tried;
  tried.outcome = apart_->run(strategy_, number, of_search(strategy_));
  return tried;
}

// The reply that goes on with this run; null: its worker died.
Message* SearchJobs::reply_with(uint64_t number) {
  const size_t worker = worker_of(number);
  auto& reply = replies_[worker];
  if (!reply || reply->at_end()) {
    reply.reset();
    if (const auto text = workers_.receive(worker)) reply = std::make_unique<Message>(*text);
  }
  return reply.get();
}

std::optional<TriedRun> SearchJobs::next() {
  if (!searching_ || next_ == most_) return std::nullopt;
  if (next_ == round_end_ && !ask_round()) return std::nullopt;
  const uint64_t number = next_++;
  TriedRun tried;
  std::string lesson;
  if (auto* message = reply_with(number)) {
    tried.outcome = get_outcome(*message);
    tried.strategy = message->get<std::string>();
    tried.description = message->get<std::string>();
    tried.met = message->get<std::optional<Meeting>>();
    lesson = message->get<std::string>();
  } else {
    tried = run_apart(number);
    tried.strategy = strategy_.name();
    tried.description = strategy_.describe();
    tried.met = strategy_.met();
    lesson = strategy_.lesson();
    if (next_ < round_end_) ask(worker_of(number), next_, round_end_, {});
  }
  tried.number = number;
  if (strategy_.round() != 0) lessons_.push_back(std::move(lesson));
  return tried;
}

RunOutcome SearchJobs::follow(const Schedule& schedule) {
  return follow(schedule, false);
}

RunOutcome SearchJobs::follow_loosely(const Schedule& schedule) {
  return follow(schedule, true);
}

RunOutcome SearchJobs::follow(const Schedule& schedule, bool loosely) {
  if (searching_) {
    // Whatever they are doing is of no use any more.
    for (size_t i = 0; i < workers_.count(); ++i) workers_.stop(i);
    searching_ = false;
  }
  Message message;
  message.put(loosely ? Ask::follow_loosely : Ask::follow);
  message.put(schedule.steps.size());
  for (const ScheduleStep& step : schedule.steps) message.put(step);
  workers_.send(0, message.text());
  if (const auto reply = workers_.receive(0)) {
    Message answered(*reply);
    RunOutcome outcome = get_outcome(answered);
    return outcome;
  }
  if (!apart_) apart_ = make_runs_(Runs::In::own_process);
  return follow_in(*apart_, schedule, loosely);
}

}  // namespace heddle
