#include "replayer/run_difference.h"

#include <algorithm>
#include <map>

#include "machine/syscalls/table.h"

namespace heddle {
namespace {

using Descent = std::vector<unsigned>;

std::string text_of(const Descent& descent) {
  std::string text;
  for (const unsigned part : descent) text += (text.empty() ? "" : ".") + std::to_string(part);
  return text;
}

// A run by task.
struct Run {
  explicit Run(const std::vector<Event>& events);

  std::map<Descent, std::vector<const Event*>> tasks;
  std::map<int64_t, Descent> numbers;  // kernel's, of tasks
  std::vector<std::pair<Descent, Place>> switches;
};

Run::Run(const std::vector<Event>& events) {
  std::map<TaskId, Descent> descent{{1, {1}}};
  std::map<TaskId, unsigned> children;
  for (const auto& event : events) {
    const TaskId task = event.place.task;
    const auto found = descent.find(task);
    if (found == descent.end()) continue;  // a damaged trace; the replayer says so
    if (const auto* image = std::get_if<event::Exec>(&event.body); image && image->pid != 0)
      numbers.try_emplace(image->pid, found->second);
    if (std::holds_alternative<event::Switch>(event.body)) {
      switches.emplace_back(found->second, event.place);
      continue;
    }
    if (std::holds_alternative<event::StateHash>(event.body)) continue;
    tasks[found->second].push_back(&event);
    const auto* call = std::get_if<event::Syscall>(&event.body);
    if (!call || call->child == 0) continue;
    Descent child = found->second;
    child.push_back(++children[task]);
    numbers[call->result] = child;
    descent[call->child] = child;
  }
}

class Comparison {
 public:
  Comparison(const Run& left, const Run& right) : left_(left), right_(right) {}

  // The same task's doing: where it is and what it asks for.
  bool same_request(const Event& a, const Event& b) const {
    const Place& p = a.place;
    const Place& q = b.place;
    if (a.body.index() != b.body.index()) return false;
    const auto* call = std::get_if<event::Syscall>(&a.body);
    if (call)
      return p.ticks == q.ticks && p.pc == q.pc &&
             same_call(*call, std::get<event::Syscall>(b.body));
    if (const auto* signal = std::get_if<event::Signal>(&a.body))
      return p.ticks == q.ticks && p.pc == q.pc &&
             signal->number == std::get<event::Signal>(b.body).number;
    if (const auto* image = std::get_if<event::Exec>(&a.body))
      return image->path == std::get<event::Exec>(b.body).path &&
             image->arguments == std::get<event::Exec>(b.body).arguments;
    if (const auto* end = std::get_if<event::ProcessExit>(&a.body))
      return *end == std::get<event::ProcessExit>(b.body);
    if (std::holds_alternative<event::Taint>(a.body)) return true;
    return p.ticks == q.ticks && p.pc == q.pc;
  }

  bool same_answer(const Event& a, const Event& b) const {
    if (const auto* call = std::get_if<event::Syscall>(&a.body)) {
      const auto& other = std::get<event::Syscall>(b.body);
      return (call->result == other.result || same_number(call->result, other.result)) &&
             call->effects == other.effects;
    }
    if (const auto* answer = std::get_if<event::Instruction>(&a.body))
      return *answer == std::get<event::Instruction>(b.body);
    return true;
  }

 private:
  bool same_number(int64_t a, int64_t b) const {
    const auto x = left_.numbers.find(a), y = right_.numbers.find(b);
    return x != left_.numbers.end() && y != right_.numbers.end() && x->second == y->second;
  }
  bool same_call(const event::Syscall& a, const event::Syscall& b) const {
    if (a.number != b.number || a.texts != b.texts) return false;
    const auto* known = find(a.number);
    for (size_t i = 0; i < (known ? known->count() : a.arguments.size()); ++i) {
      if (a.arguments[i] == b.arguments[i]) continue;
      if (!known || known->arguments[i].kind != Kind::process ||
          !same_number(static_cast<int32_t>(a.arguments[i]), static_cast<int32_t>(b.arguments[i])))
        return false;
    }
    return true;
  }

  const Run& left_;
  const Run& right_;
};

}  // namespace

RunDifference compare_runs(const std::vector<Event>& left, const std::vector<Event>& right) {
  const Run a(left), b(right);
  const Comparison comparison(a, b);
  std::map<Descent, TaskDifference> tasks;
  static const std::vector<const Event*> kNone;
  const auto of = [](const Run& run, const Descent& task) -> const std::vector<const Event*>& {
    const auto it = run.tasks.find(task);
    return it == run.tasks.end() ? kNone : it->second;
  };
  for (const auto* run : {&a, &b})
    for (const auto& [task, events] : run->tasks) tasks[task].task = text_of(task);
  for (auto& [task, difference] : tasks) {
    const auto &x = of(a, task), &y = of(b, task);
    size_t& n = difference.same;
    for (; n < std::min(x.size(), y.size()) && comparison.same_request(*x[n], *y[n]); ++n)
      if (!comparison.same_answer(*x[n], *y[n])) difference.answers.emplace_back(*x[n], *y[n]);
    if (n < x.size()) difference.left = *x[n];
    if (n < y.size()) difference.right = *y[n];
  }
  RunDifference result;
  for (auto& [task, difference] : tasks) result.tasks.push_back(std::move(difference));
  const auto when = [](const TaskDifference& d) {
    return d.left ? d.left->number : d.right ? ~uint64_t{0} - 1 : ~uint64_t{0};
  };
  const auto first = std::ranges::min_element(result.tasks, {}, when);
  if (first != result.tasks.end() && (first->left || first->right))
    result.first = static_cast<size_t>(first - result.tasks.begin());
  result.other_schedule = a.switches != b.switches;
  return result;
}

}  // namespace heddle
