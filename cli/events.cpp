#include <cstdio>

#include "cli/trace_location.h"
#include "cli/verbs.h"
#include "machine/syscalls/describe.h"
#include "replayer/divergence.h"
#include "trace_format/reader.h"

namespace heddle::cli {
namespace {

void print(const Event& event) {
  const auto* call = std::get_if<event::Syscall>(&event.body);
  std::printf("%llu %llu.%06llu task %u @%llu:%llx %s",
              static_cast<unsigned long long>(event.number),
              static_cast<unsigned long long>(event.time_ns / 1'000'000'000),
              static_cast<unsigned long long>(event.time_ns / 1000 % 1'000'000), event.place.task,
              static_cast<unsigned long long>(event.place.ticks),
              static_cast<unsigned long long>(event.place.pc),
              call ? describe_call(*call).c_str() : describe(event.body).c_str());
  if (call && call->child != 0) std::printf(", child task %u", call->child);
  std::printf("\n");
}

}  // namespace

void add_events(CLI::App& app, int& status) {
  auto name = std::make_shared<std::string>("latest");
  auto* verb = app.add_subcommand("events", "Print the events of a trace, one a line");
  verb->add_option("trace", *name, "A path, an id (t1, t2, ...) or latest");
  verb->callback([name, &status] {
    status = or_one_line(2, [&] {
      TraceReader trace(find_trace(*name));
      while (const auto event = trace.next()) print(*event);
      if (!trace.cut_off().empty()) std::fprintf(stderr, "heddle: %s\n", trace.cut_off().c_str());
      return 0;
    });
  });
}

}  // namespace heddle::cli
