#include "cli/stacks_at.h"

#include <charconv>
#include <cstdio>
#include <map>
#include <memory>
#include <variant>

#include "cli/divergence_report.h"
#include "cli/trace_location.h"
#include "replayer/mapped_files.h"
#include "replayer/replayer.h"
#include "trace_format/reader.h"
#include "trace_format/schedule.h"

namespace heddle::cli {
namespace {

using EventNumber = uint64_t;
using Point = std::variant<EventNumber, Place>;

Point parse_point(const std::string& text) {
  EventNumber number = 0;
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data(), end, number).ptr == end && !text.empty()) return number;
  try {
    return parse_place(text);
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error("--stacks-at takes an event's number or TASK@TICKS:PC: " +
                             std::string(error.what()));
  }
}

// Does the task pass `place` before it comes to this event? Between two ticks a task only goes
// forward.
bool is_before(const Place& place, const Event& event) {
  const Place& next = event.place;
  return place.task == next.task &&
         (place.ticks < next.ticks || (place.ticks == next.ticks && place.pc <= next.pc));
}

void print_all(Replayer& replayer, const MappedFiles& files) {
  std::map<const Guest*, std::unique_ptr<Unwinder>> unwinders;
  for (const TaskId task : replayer.tasks()) {
    Guest& guest = *replayer.guest_of(task);
    auto& unwinder = unwinders[&guest];
    if (!unwinder) unwinder = std::make_unique<Unwinder>(files.modules(guest));
    const auto& context = guest.task(task);
    std::printf("%s\n", describe(context.place()).c_str());
    print_frames(stdout, unwinder->stack(guest.memory(), context.registers));
  }
}

// Replays up to the point; of an event, says what it was.
void replay_to(const Point& point, TraceReader& trace, Replayer& replayer, MappedFiles& files) {
  const auto advance = [&](const Event& event) {
    replayer.advance(event);
    files.advance(event, replayer);
  };
  std::optional<Event> event;
  if (const auto* place = std::get_if<Place>(&point)) {
    while ((event = trace.next()) && !is_before(*place, *event)) advance(*event);
    if (!replayer.reach(*place))
      throw std::runtime_error("the recording never comes to " + describe(*place));
    return;
  }
  const auto number = std::get<EventNumber>(point);
  for (EventNumber at = 0; at < number; at = event->number) {
    event = trace.next();
    if (!event) throw std::runtime_error("the trace has no event " + std::to_string(number));
    advance(*event);
  }
  if (event)
    std::printf("after event %llu, %s of task %u\n", static_cast<unsigned long long>(number),
                describe(event->body).c_str(), event->place.task);
}

}  // namespace

int print_stacks_at(const std::string& name, const std::string& where) {
  const Point point = parse_point(where);
  TraceReader trace(locate_trace(name).path);
  const auto first = trace.next();
  if (!first) throw TraceError("the trace is empty: " + trace.cut_off());
  const auto pinned = [&](const std::string& content) { return trace.pinned(content); };
  Replayer replayer(*first, pinned, {});
  MappedFiles files(pinned);
  files.advance(*first, replayer);
  try {
    replay_to(point, trace, replayer, files);
  } catch (const Divergence& divergence) {
    std::fprintf(stderr, "heddle: %s\n", divergence.what());
    return 3;
  }
  print_all(replayer, files);
  return 0;
}

}  // namespace heddle::cli
