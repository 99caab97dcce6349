// The thread that answers a guest's misses while the guest waits (machine/runtime/misses.c).
#include <immintrin.h>

#include "machine/runtime/task_state.h"
#include "machine/tracee/code_cache.h"

namespace heddle {
namespace {

constexpr unsigned kIdleTurns = 4000;  // of looking before it sleeps until the next stop for a miss

uint64_t get(const uint64_t& field) {
  return std::atomic_ref(const_cast<uint64_t&>(field)).load(std::memory_order_acquire);
}

void set(uint64_t& field, uint64_t value) {
  std::atomic_ref(field).store(value, std::memory_order_seq_cst);
}

bool mapped(const GuestMemory& memory, uint64_t address) {
  uint8_t byte;
  return memory.read(address, {&byte, 1}) == 1;
}

}  // namespace

std::optional<uint64_t> CodeCache::answer_miss(const GuestMemory& memory) {
  Lock lock(mutex_);
  auto& hot = *code_->hot;
  uint64_t answer = get(hot.miss_answer);
  if (answer == 0) {
    const uint64_t request = get(hot.miss_request);
    if (request == HEDDLE_MISS_LOOKUP || request == HEDDLE_MISS_RETURN) {
      if (!canonical(hot.miss_target)) return std::nullopt;
      answer = enter_pad(hot.miss_target, request == HEDDLE_MISS_RETURN, memory);
    } else {
      const uint64_t stub = host_address(request);
      const auto* site = exit_at(stub);
      if (!site || site->kind != translator::ExitKind::link)
        throw std::logic_error("a miss from nowhere");
      const Block* block = block_at(stub);
      for (const auto& link : block->links) {
        if (block->host + link.stub != stub) continue;
        answer = enter(link.target, link.lent, memory, link.loop);
        patch(block->host + link.offset, answer);
      }
    }
  }
  set(hot.miss_request, 0);
  set(hot.miss_answer, 0);
  return answer;
}

// The guest address that the request is for.
uint64_t CodeCache::wanted_address() const {
  const auto& hot = *code_->hot;
  const uint64_t request = get(hot.miss_request);
  if (request == HEDDLE_MISS_LOOKUP || request == HEDDLE_MISS_RETURN) return hot.miss_target;
  const auto* site = exit_at(host_address(get(hot.miss_request)));
  return site ? site->pc : 0;
}

void CodeCache::begin(std::shared_ptr<const GuestMemory> memory) {
  Lock lock(mutex_);
  if (watched_ != memory) code_pages_of_ = nullptr;
  watched_ = std::move(memory);
  set(code_->hot->miss_request, 0);
  set(code_->hot->miss_answer, 0);
}

void CodeCache::watch() {
  static const bool alone = std::thread::hardware_concurrency() < 2;
  if (alone) return;
  {
    Lock lock(mutex_);
    if (!watcher_.joinable()) {
      awake_ = true;
      watcher_ = std::thread(&CodeCache::answer_misses, this);
      return;
    }
    if (awake_) return;
    awake_ = true;
  }
  wake_.notify_one();
}

void CodeCache::answer_misses() {
  auto& hot = *code_->hot;
  while (!ending_) {
    set(hot.miss_watched, 1);
    for (unsigned idle = 0; idle < kIdleTurns && !ending_;) {
      if (get(hot.miss_request) == 0 || get(hot.miss_answer) != 0) {
        _mm_pause();
        ++idle;
        continue;
      }
      idle = 0;
      Lock lock(mutex_);
      // The guest's thread stops for the supervisor if this throws, which then meets the same.
      try {
        if (get(hot.miss_request) == 0 || get(hot.miss_answer) != 0 || !watched_) continue;
        const uint64_t request = get(hot.miss_request), target = wanted_address();
        const auto answer = answer_miss(*watched_);
        if (!answer) break;
        // Nothing there, or a guest that was killed meanwhile: the supervisor sees to it.
        const bool there = mapped(*watched_, target);
        if (!there) invalidate(target & ~uint64_t{0xfff}, 0x2000);
        // Neither can code that may change be watched while the guest does not stop.
        if (!there || watched_->has_unwatched_code()) {
          set(hot.miss_request, request);
          break;
        }
        set(hot.miss_answer, *answer);
      } catch (const std::exception&) {
        break;
      }
    }
    set(hot.miss_watched, 0);
    std::unique_lock lock(mutex_);
    awake_ = false;
    wake_.wait(lock, [&] { return awake_ || ending_; });
  }
}

}  // namespace heddle
