#include "cli/room_for_guest.h"

#include <sys/personality.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "machine/tracee/layout.h"
#include "machine/tracee/process_memory.h"

namespace heddle::cli {
namespace {

constexpr int kStarts = 8;
constexpr const char* kCount = "HEDDLE_STARTS";  // how often it has started again

bool in_the_way() {
  // Behind the arenas: programs that may lie anywhere with their heap, and libraries and stack
  // (Linux, Documentation/arch/x86/x86_64/mm.rst, without randomisation).
  constexpr uint64_t kHeap = uint64_t{4} << 30;
  const layout::Range program{layout::kArenas[1].start, layout::kArenas[1].size + kHeap};
  const layout::Range top{layout::kArenas[2].start, (uint64_t{1} << 47) - layout::kArenas[2].start};
  for (const auto& map : read_maps(getpid()))
    for (const auto& range : {layout::kFixed, layout::kArenas[0], program, top})
      if (map.start < range.start + range.size && map.end > range.start && map.path != "[vsyscall]")
        return true;
  return false;
}

std::vector<std::string> own_arguments() {
  std::ifstream in("/proc/self/cmdline");
  std::vector<std::string> arguments;
  for (std::string word; std::getline(in, word, '\0');) arguments.push_back(word);
  return arguments;
}

}  // namespace

void start_where_guests_have_room() {
  const char* count = std::getenv(kCount);
  const int starts = count ? std::atoi(count) : 0;
  if (!in_the_way() || starts >= kStarts) {
    unsetenv(kCount);
    return;
  }
  auto arguments = own_arguments();
  std::vector<char*> words;
  words.reserve(arguments.size() + 1);
  for (auto& word : arguments) words.push_back(word.data());
  words.push_back(nullptr);
  setenv(kCount, std::to_string(starts + 1).c_str(), 1);
  const int persona = personality(0xffffffff);
  if (persona != -1 && persona & ADDR_NO_RANDOMIZE)
    personality(static_cast<unsigned long>(persona) &
                ~static_cast<unsigned long>(ADDR_NO_RANDOMIZE));
  execv("/proc/self/exe", words.data());
  unsetenv(kCount);
}

}  // namespace heddle::cli
