#include <unistd.h>

#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/event_filter.h"
#include "cli/trace_location.h"
#include "cli/verbs.h"
#include "explorer/report/style.h"
#include "machine/pages.h"
#include "machine/syscalls/describe.h"
#include "machine/syscalls/table.h"
#include "replayer/divergence.h"
#include "trace_format/reader.h"

namespace heddle::cli {
namespace {

struct Options {
  std::string trace = "latest";
  EventFilter filter;
  bool json = false;
};

// As a person reads it.
std::string text_of(const Event& event) {
  if (const auto* call = std::get_if<event::Syscall>(&event.body))
    return describe_call(*call) +
           (call->child != 0 ? ", child task " + std::to_string(call->child) : "");
  if (const auto* signal = std::get_if<event::Signal>(&event.body)) {
    const char* name = sigabbrev_np(signal->number);
    return (signal->fatal ? "fatal signal " : "signal ") + std::to_string(signal->number) +
           (name ? std::string(" (SIG") + name + ")" : "");
  }
  return describe(event.body);
}

void print(const Event& event) {
  std::printf("%" PRIu64 " %" PRIu64 ".%06" PRIu64 " task %u @%" PRIu64 ":%" PRIx64 " %s\n",
              event.number, event.time_ns / 1'000'000'000, event.time_ns / 1000 % 1'000'000,
              event.place.task, event.place.ticks, event.place.pc,
              report::printable(text_of(event)).c_str());
}

using Json = nlohmann::ordered_json;

std::string hexadecimal(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%" PRIx64, value);
  return text;
}

struct Details {
  Json& out;

  void operator()(const event::Exec& e) {
    out["kind"] = "exec";
    out["path"] = e.path;
    out["arguments"] = e.arguments;
    out["environment"] = e.environment;
  }
  void operator()(const event::Syscall& e) {
    out["kind"] = "syscall";
    const auto* known = find(e.number);
    out["call"] = known ? known->name : std::to_string(e.number);
    auto arguments = Json::array();
    for (size_t i = 0; i < (known ? known->count() : e.arguments.size()); ++i)
      arguments.push_back(hexadecimal(e.arguments[i]));
    out["arguments"] = arguments;
    if (!e.texts.empty()) out["texts"] = e.texts;
    out["result"] = e.result;
    if (is_error(e.result))
      if (const char* name = strerrorname_np(static_cast<int>(-e.result))) out["error"] = name;
    if (e.child != 0) out["child"] = e.child;
    if (e.interrupted) out["interrupted"] = true;
    if (!e.effects.empty()) {
      auto written = Json::array();
      for (const auto& effect : e.effects)
        written.push_back(
            {{"address", hexadecimal(effect.address)}, {"size", effect.bytes.size()}});
      out["written"] = written;
    }
  }
  void operator()(const event::Instruction&) { out["kind"] = "instruction"; }
  void operator()(const event::Signal& e) {
    out["kind"] = "signal";
    out["signal"] = e.number;
    out["synchronous"] = e.synchronous;
    out["fatal"] = e.fatal;
  }
  void operator()(const event::Switch& e) {
    out["kind"] = "switch";
    out["next"] = e.next;
  }
  void operator()(const event::TaskExit& e) {
    out["kind"] = "taskExit";
    out["status"] = e.status;
  }
  void operator()(const event::ProcessExit& e) {
    out["kind"] = "processExit";
    out["status"] = e.status;
  }
  void operator()(const event::Taint& e) {
    out["kind"] = "taint";
    out["reason"] = e.reason;
  }
  void operator()(const event::Released& e) {
    out["kind"] = "released";
    out["reason"] = e.reason;
  }
  void operator()(const event::StateHash&) { out["kind"] = "stateHash"; }
};

void print_json(const Event& event) {
  Json out;
  out["event"] = event.number;
  out["time_ns"] = event.time_ns;
  out["task"] = event.place.task;
  out["ticks"] = event.place.ticks;
  out["pc"] = hexadecimal(event.place.pc);
  std::visit(Details{out}, event.body);
  out["text"] = text_of(event);
  std::puts(out.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

int events(const Options& options) {
  const WantedEvents wanted(options.filter);
  TraceReader trace(find_trace(options.trace));
  while (const auto event = trace.next()) {
    if (!wanted(*event)) continue;
    if (options.json)
      print_json(*event);
    else
      print(*event);
  }
  if (!trace.cut_off().empty()) std::fprintf(stderr, "heddle: %s\n", trace.cut_off().c_str());
  return 0;
}

}  // namespace

void add_events(CLI::App& app, int& status) {
  auto options = std::make_shared<Options>();
  auto& filter = options->filter;
  auto* verb = app.add_subcommand("events", "Print the events of a trace");
  verb->add_option("trace", options->trace, "A path, an id (t1, f1, ...) or latest");
  const auto several = [&](const char* name, auto& into, const char* text) {
    verb->add_option(name, into, text)->delimiter(',')->allow_extra_args(false);
  };
  several("-t,--task", filter.tasks, "Only of these tasks: 1,3");
  several("-s,--syscall", filter.calls, "Only these system calls: openat,read");
  several("-d,--descriptor", filter.descriptors, "Only system calls on these descriptors");
  several("--signal", filter.signals, "Only these signals, by name or number; all");
  verb->add_option("--from", filter.from, "Only from this time of the recording on (1.5s, 2m)");
  verb->add_option("--to", filter.to, "Only up to this time");
  verb->add_flag("--json", options->json, "One object a line");
  verb->footer(
      "A line has the event's number, its time in seconds, the task, its place (ticks and "
      "address), "
      "and what happened. With system calls (or descriptors) and signals asked for, both are "
      "shown.");
  verb->callback([options, &status] { status = or_one_line(2, [&] { return events(*options); }); });
}

}  // namespace heddle::cli
