#include "cli/divergence_report.h"

#include <optional>

#include "replayer/mapped_files.h"
#include "replayer/replayer.h"
#include "trace_format/reader.h"

namespace heddle::cli {
namespace {

void print_stack(const char* title, const Unwinder& unwinder, Guest& guest,
                 const Registers& registers, const Place& place) {
  std::fprintf(stderr, "%s (%s):\n", title, describe(place).c_str());
  print_frames(stderr, unwinder.stack(guest.memory(), registers));
}

void print_mapping(uint64_t address, Guest& guest) {
  for (const auto& map : guest.memory().maps()) {
    if (address < map.start || address >= map.end) continue;
    std::fprintf(stderr, "0x%llx lies in the mapping 0x%llx-0x%llx %s\n",
                 static_cast<unsigned long long>(address),
                 static_cast<unsigned long long>(map.start),
                 static_cast<unsigned long long>(map.end),
                 map.path.empty() ? "(anonymous memory)" : map.path.c_str());
    return;
  }
}

void print_stacks(const Event& event, Replayer& replayer, const MappedFiles& files,
                  std::optional<uint64_t> address) {
  Guest* guest = replayer.guest_of(event.place.task);
  if (!guest) return;
  if (address) print_mapping(*address, *guest);
  const Unwinder unwinder(files.modules(*guest));
  const auto& context = guest->task(event.place.task);
  print_stack("the stack here", unwinder, *guest, context.registers, context.place());
  if (event.registers)
    print_stack("the recorded one, by the recorded registers", unwinder, *guest, *event.registers,
                event.place);
  else
    std::fprintf(stderr, "the recorded one (%s), no more than where it is:\n  #0  0x%012llx %s\n",
                 describe(event.place).c_str(), static_cast<unsigned long long>(event.place.pc),
                 unwinder.symbols().site(event.place.pc).c_str());
}

// Without what makes a replay fast; false where it goes on beyond that event.
bool replay_again(const Divergence& divergence, const std::filesystem::path& directory) {
  TraceReader trace(directory);
  const auto pinned = [&](const std::string& content) { return trace.pinned(content); };
  const auto first = trace.next();
  if (!first) return false;
  Replayer replayer(*first, pinned, {});
  MappedFiles files(pinned);
  files.advance(*first, replayer);
  while (const auto event = trace.next()) {
    try {
      replayer.advance(*event);
      files.advance(*event, replayer);
    } catch (const Divergence& again) {
      if (again.event != divergence.event)
        std::fprintf(stderr, "replayed step by step it comes earlier: %s\n", again.what());
      print_stacks(*event, replayer, files, again.address);
      return true;
    }
    if (event->number == divergence.event) break;
  }
  return false;
}

}  // namespace

void print_frames(std::FILE* out, const std::vector<Frame>& frames) {
  size_t number = 0;
  for (const auto& frame : frames) {
    std::fprintf(out, "  #%-2zu 0x%012llx %s", number++, static_cast<unsigned long long>(frame.pc),
                 frame.function.empty() ? "?" : frame.function.c_str());
    if (!frame.file.empty()) std::fprintf(out, " %s:%u", frame.file.c_str(), frame.line);
    std::fprintf(out, frame.inlined ? " (inlined)\n" : "\n");
  }
}

void report_divergence(const Divergence& divergence, const std::filesystem::path& directory,
                       const std::string& name) {
  if (!replay_again(divergence, directory))
    std::fprintf(stderr,
                 "replayed step by step, the program does there as it was recorded: heddle's fast "
                 "translation is at fault\n");
  std::fprintf(stderr,
               "to find the first tick that differs: heddle replay --lockstep %s\n"
               "to see what came before: heddle events %s\n",
               name.c_str(), name.c_str());
}

}  // namespace heddle::cli
