// A ring between two threads, ordered by acquiring loads and releasing stores alone: on x86-64 all
// of them are plain moves, and no locked instruction ever touches the indices.
#include <atomic>
#include <cstdio>
#include <thread>

namespace {

class Ring {
 public:
  bool push(int value) {
    const unsigned head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == kSize) return false;
    values_[head % kSize] = value;
    head_.store(head + 1, std::memory_order_release);
    return true;
  }
  bool pop(int& value) {
    const unsigned tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return false;
    value = values_[tail % kSize];
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

 private:
  static constexpr unsigned kSize = 8;
  int values_[kSize] = {};
  std::atomic<unsigned> head_{0}, tail_{0};
};

Ring ring;
std::atomic<bool> finished{false};
int result;

}  // namespace

int main() {
  constexpr int kValues = 200;
  std::thread taker([] {
    int sum = 0;
    for (int taken = 0, value = 0; taken < kValues;) {
      if (ring.pop(value)) {
        sum += value;
        ++taken;
      } else {
        std::this_thread::yield();
      }
    }
    result = sum;
    finished.store(true, std::memory_order_release);
  });
  for (int given = 0; given < kValues;) {
    if (ring.push(given))
      ++given;
    else
      std::this_thread::yield();
  }
  while (!finished.load(std::memory_order_acquire)) std::this_thread::yield();
  std::printf("atomic_ring: %d\n", result);
  taker.join();
}
