// Runs generated programs natively and translated until one differs.
//
// Usage: translate_fuzz [--ends] --seeds A..B
// With --ends only how a program ends is compared, in fast translations: thousands in a second on
// each processor. What differs there is compared step by step, in every mode.
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <vector>

#include "tests/differential/comparison.h"
#include "tests/differential/generator.h"

namespace heddle::differential {
namespace {

constexpr unsigned kLongest = 60;  // seconds of a native run, which has a few hundred instructions

volatile uint64_t running_seed = 0;

void too_long(int) {
  char text[96];
  const int size = std::snprintf(text, sizeof text, "seed %" PRIu64 ": the native run has no end\n",
                                 static_cast<uint64_t>(running_seed));
  if (write(STDOUT_FILENO, text, static_cast<size_t>(size)) == size) _exit(1);
  _exit(1);
}

struct Seeds {
  uint64_t first = 0, last = 0, step = 1;
};

// Whether none differs.
bool compare(const Seeds& seeds, bool ends) {
  signal(SIGALRM, too_long);
  Comparison comparison;
  uint64_t done = 0;
  for (uint64_t seed = seeds.first; seed <= seeds.last; seed += seeds.step) {
    running_seed = seed;
    const auto program = generate(seed);
    std::optional<std::string> at_end;
    if (ends) at_end = comparison.difference_at_end(program, [] { alarm(kLongest); });
    alarm(0);
    if (!ends || at_end) {
      const auto difference = comparison.difference(program);
      // A jump into the middle of an instruction can find one that is refused by name.
      const bool refused =
          difference && difference->find("unsupported instruction") != std::string::npos;
      if (difference && !refused) {
        std::printf("seed %" PRIu64 ": %s\n", seed, difference->c_str());
        const auto least = comparison.minimised(program);
        std::printf("%zu items of %zu: %s\n%s", least.items.size(), program.items.size(),
                    comparison.difference(least).value_or("(does not differ any more)").c_str(),
                    least.text().c_str());
        return false;
      }
      // Natively a program may go where there is none of its code.
      if (at_end) std::printf("seed %" PRIu64 ": only at its end: %s\n", seed, at_end->c_str());
    }
    if (++done % (ends ? 100'000 : 10'000) == 0)
      std::printf("%" PRIu64 " programs, to seed %" PRIu64 "\n", done, seed), std::fflush(stdout);
  }
  std::printf("%" PRIu64 " programs, no difference\n", done);
  return true;
}

// The same, shared out among the processors: two threads that take turns do so best on one.
bool compare_on_all(const Seeds& seeds) {
  cpu_set_t ours;
  if (sched_getaffinity(0, sizeof ours, &ours) != 0) return compare(seeds, true);
  Seeds share = seeds;
  share.step = static_cast<uint64_t>(CPU_COUNT(&ours));
  std::vector<pid_t> children;
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &ours)) continue;
    const pid_t child = fork();
    if (child == 0) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      sched_setaffinity(0, sizeof one, &one);
      const bool same = compare(share, true);
      std::fflush(stdout);
      _exit(same ? 0 : 1);
    }
    children.push_back(child);
    ++share.first;
  }
  bool same = true;
  for (const pid_t child : children) {
    int status = 1;
    same = child > 0 && waitpid(child, &status, 0) == child && status == 0 && same;
  }
  return same;
}

}  // namespace
}  // namespace heddle::differential

int main(int argc, char** argv) {
  using namespace heddle::differential;
  Seeds seeds;
  const bool ends = argc == 4 && std::strcmp(argv[1], "--ends") == 0;
  if (argc != 3 + ends || std::strcmp(argv[1 + ends], "--seeds") != 0 ||
      std::sscanf(argv[2 + ends], "%" SCNu64 "..%" SCNu64, &seeds.first, &seeds.last) != 2) {
    std::fprintf(stderr, "usage: %s [--ends] --seeds FIRST..LAST\n", argv[0]);
    return 2;
  }
  return (ends ? compare_on_all(seeds) : compare(seeds, false)) ? 0 : 1;
}
