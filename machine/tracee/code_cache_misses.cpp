// The thread that answers a guest's misses while the guest waits (machine/runtime/misses.c).
#include <immintrin.h>
#include <sched.h>

#include <chrono>

#include "machine/pages.h"
#include "machine/runtime/task_state.h"
#include "machine/tracee/code_cache.h"
#include "machine/tracee/saved_translations.h"

namespace heddle {
namespace {

constexpr unsigned kIdleTurns =
    20000;  // of looking before it sleeps until the next stop for a miss
constexpr unsigned kIdleBeforeYield = 256;  // between two looks at who else wants the processor
constexpr auto kYielded = std::chrono::microseconds(15);  // somebody did
// Until it takes time to translate ahead: a guest that misses every microsecond waits the longer.
constexpr unsigned kIdleBeforeAhead = 200;
constexpr size_t kAhead = 32;       // blocks translated ahead for each miss
constexpr size_t kMostAhead = 512;  // blocks wanted

uint64_t get(const uint64_t& field) {
  return std::atomic_ref(const_cast<uint64_t&>(field)).load(std::memory_order_acquire);
}

void set(uint64_t& field, uint64_t value) {
  std::atomic_ref(field).store(value, std::memory_order_seq_cst);
}

// While there is one, what new blocks lead to is noted.
class Planning {
 public:
  explicit Planning(bool& on) : on_(on) { on_ = true; }
  ~Planning() { on_ = false; }
  Planning(const Planning&) = delete;
  Planning& operator=(const Planning&) = delete;

 private:
  bool& on_;
};

// Only one processor for us: whoever waits for another thread there keeps it from running.
bool is_one_processor() {
  cpu_set_t ours;
  return sched_getaffinity(0, sizeof ours, &ours) == 0 && CPU_COUNT(&ours) == 1;
}

// Another thread had this processor when it was offered: the guest's, as often as not, which cannot
// miss anything while it waits for whoever watches it.
bool is_wanted_by_others() {
  const auto before = std::chrono::steady_clock::now();
  sched_yield();
  return std::chrono::steady_clock::now() - before > kYielded;
}

bool mapped(const GuestMemory& memory, uint64_t address) {
  uint8_t byte;
  return memory.read(address, {&byte, 1}) == 1;
}

}  // namespace

std::optional<uint64_t> CodeCache::answer_miss(const GuestMemory& memory) {
  Lock lock(mutex_);
  auto& hot = *code_->hot;
  for (const auto& [field, target] : std::exchange(unlinked_, {})) patch(field, target);
  uint64_t answer = get(hot.miss_answer);
  ahead_left_ = kAhead;
  const Planning planning(planning_);
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

void CodeCache::rest() {
  Lock lock(mutex_);
  ahead_.clear();
}

void CodeCache::plan_ahead(const Block* block, uint64_t returns_to) {
  // The nearest first: the way on, then what is behind a call.
  for (const auto& link : block->links)
    ahead_.push_front({link.target, link.lent, link.loop, false});
  if (returns_to != 0) ahead_.push_front({returns_to, false, false, true});
  if (ahead_.size() > kMostAhead) ahead_.resize(kMostAhead);
}

// Code that the guest may be about to want, and that cannot change while it runs. Nothing that it
// may be executing is written.
bool CodeCache::translate_ahead() {
  Lock lock(mutex_);
  const auto& hot = *code_->hot;
  while (!ahead_.empty() && ahead_left_ > 0 && watched_ && code_pages_of_ == watched_.get()) {
    if (get(hot.miss_request) != 0 && get(hot.miss_answer) == 0) return true;
    const Ahead next = ahead_.front();
    ahead_.pop_front();
    if (next.returns ? has_pad(next.pc, true) : find(entry_key(next.pc, next.lent)).has_value())
      continue;
    if (saved_ && saved_->candidate(entry_key(next.pc, next.returns || next.lent))) continue;
    --ahead_left_;
    ahead_now_ = true;
    const Planning planning(planning_);
    try {
      if (next.returns)
        enter_return(next.pc, *watched_);
      else
        enter(next.pc, next.lent, *watched_, next.loop);
    } catch (const NotNow&) {
      // It is translated when it is wanted.
    } catch (const std::exception&) {
      ahead_.clear();  // as the supervisor finds out by itself
    }
    ahead_now_ = false;
    return true;
  }
  return false;
}

void CodeCache::begin(std::shared_ptr<const GuestMemory> memory) {
  Lock lock(mutex_);
  if (watched_ != memory) code_pages_of_ = nullptr;
  watched_ = std::move(memory);
  set(code_->hot->miss_request, 0);
  set(code_->hot->miss_answer, 0);
}

void CodeCache::watch() {
  {
    // The stop costs more than this: the misses to come had better not.
    Lock lock(mutex_);
    while (translate_ahead()) {
    }
    for (const auto& [field, target] : std::exchange(unlinked_, {})) patch(field, target);
  }
  static const bool alone = is_one_processor();
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
    sched_yield();  // where it was woken the guest may wait to go on
    set(hot.miss_watched, 1);
    bool may_plan = true;
    for (unsigned idle = 0; idle < kIdleTurns && !ending_;) {
      if (get(hot.miss_request) == 0 || get(hot.miss_answer) != 0) {
        if (idle >= kIdleBeforeAhead && may_plan && (may_plan = translate_ahead())) continue;
        if (++idle % kIdleBeforeYield == 0 && is_wanted_by_others()) break;
        _mm_pause();
        continue;
      }
      idle = 0;
      Lock lock(mutex_);
      // The guest's thread stops for the supervisor if this throws, which then meets the same.
      try {
        if (get(hot.miss_request) == 0 || get(hot.miss_answer) != 0 || !watched_) continue;
        const uint64_t request = get(hot.miss_request), target = wanted_address();
        const auto answer = answer_miss(*watched_);
        may_plan = true;
        if (!answer) break;
        // Nothing there, or a guest that was killed meanwhile: the supervisor sees to it.
        const bool there = code_pages_.contains(page_down(target)) || mapped(*watched_, target);
        if (!there) invalidate(page_down(target), 0x2000);
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
