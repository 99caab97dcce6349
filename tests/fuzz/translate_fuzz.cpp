// Runs generated programs natively and translated until one differs.
//
// Usage: translate_fuzz [--ends] --seeds A..B
// With --ends only how a program ends is compared, in fast translations: thousands in a second.
// What differs there is compared step by step, in every mode.
#include <signal.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "tests/differential/comparison.h"
#include "tests/differential/generator.h"

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

}  // namespace

int main(int argc, char** argv) {
  using namespace heddle::differential;
  uint64_t first = 0, last = 0;
  const bool ends = argc == 4 && std::strcmp(argv[1], "--ends") == 0;
  if (argc != 3 + ends || std::strcmp(argv[1 + ends], "--seeds") != 0 ||
      std::sscanf(argv[2 + ends], "%" SCNu64 "..%" SCNu64, &first, &last) != 2) {
    std::fprintf(stderr, "usage: %s [--ends] --seeds FIRST..LAST\n", argv[0]);
    return 2;
  }
  signal(SIGALRM, too_long);
  Comparison comparison;
  for (uint64_t seed = first; seed <= last; ++seed) {
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
        return 1;
      }
      // Natively a program may go where there is none of its code.
      if (at_end) std::printf("seed %" PRIu64 ": only at its end: %s\n", seed, at_end->c_str());
    }
    if ((seed - first + 1) % (ends ? 100'000 : 10'000) == 0)
      std::printf("%" PRIu64 " programs\n", seed - first + 1), std::fflush(stdout);
  }
  std::printf("%" PRIu64 " programs, no difference\n", last - first + 1);
  return 0;
}
