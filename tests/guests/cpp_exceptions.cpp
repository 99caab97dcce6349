// Exceptions thrown across a shared library, rethrown, carried to another thread, in several
// threads.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpp_exceptions_library.h"

namespace {

int catch_and_rethrow(int depth) {
  try {
    try {
      return guest::depth_of(depth);
    } catch (const guest::Failure& failure) {
      if (failure.code() != 17) return -1;
      throw;
    }
  } catch (const std::exception&) {
    return 1;
  }
}

bool carried_between_threads() {
  std::exception_ptr carried;
  std::thread thrower([&carried] {
    try {
      throw std::runtime_error("carried");
    } catch (...) {
      carried = std::current_exception();
    }
  });
  thrower.join();
  try {
    std::rethrow_exception(carried);
  } catch (const std::runtime_error& error) {
    return std::string_view(error.what()) == "carried";
  }
}

}  // namespace

int main() {
  constexpr int kThreads = 4, kRounds = 20, kDepth = 10;
  std::vector<int> caught(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&caught, t] {
      for (int i = 0; i < kRounds; i++) caught[t] += catch_and_rethrow(kDepth);
    });
  }
  for (auto& thread : threads) thread.join();
  for (const int count : caught) {
    if (count != kRounds) return 1;
  }
  if (guest::unwound_frames != kThreads * kRounds * (kDepth + 1)) return 1;
  if (!carried_between_threads()) return 1;
  std::puts("cpp_exceptions: ok");
}
