// Runs generated programs natively and translated until one differs: translate_fuzz --seeds A..B
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "tests/differential/comparison.h"
#include "tests/differential/generator.h"

int main(int argc, char** argv) {
  uint64_t first = 0, last = 0;
  if (argc != 3 || std::strcmp(argv[1], "--seeds") != 0 ||
      std::sscanf(argv[2], "%" SCNu64 "..%" SCNu64, &first, &last) != 2) {
    std::fprintf(stderr, "usage: %s --seeds FIRST..LAST\n", argv[0]);
    return 2;
  }
  heddle::differential::Comparison comparison;
  for (uint64_t seed = first; seed <= last; ++seed) {
    const auto program = heddle::differential::generate(seed);
    if (const auto difference = comparison.difference(program)) {
      std::printf("seed %" PRIu64 ": %s\n", seed, difference->c_str());
      const auto least = comparison.minimised(program);
      std::printf("%zu items of %zu: %s\n%s", least.items.size(), program.items.size(),
                  comparison.difference(least).value_or("(does not differ any more)").c_str(),
                  least.text().c_str());
      return 1;
    }
    if ((seed - first + 1) % 10000 == 0)
      std::printf("%" PRIu64 " programs\n", seed - first + 1), std::fflush(stdout);
  }
  std::printf("%" PRIu64 " programs, no difference\n", last - first + 1);
  return 0;
}
