#include "explorer/goroutines.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "machine/runtime/task_state.h"

namespace heddle {
namespace {

// Offsets in runtime.g and runtime.m (runtime2.go; unchanged from Go 1.5 to 1.22).
constexpr uint64_t kGStack = 0;  // stack.lo, stack.hi
constexpr uint64_t kGM = 0x30;
constexpr uint64_t kMG0 = 0;

// A thread's static TLS block ends at its fs base, where its control block begins.
constexpr uint64_t kBelowFsBase = 0x1000;
constexpr uint64_t kControlBlock = 0x1000;

// What Go allocates lies from here on (runtime/malloc.go, arena hints on linux/amd64).
constexpr uint64_t kGoHeap = 0xc000000000;
constexpr uint64_t kGoHeapSize = uint64_t{1} << 36;

// Objects of RaceDetector::release and acquire. Channels are at least 16 bytes apart.
uint64_t sent(uint64_t channel) {
  return channel;
}
uint64_t received(uint64_t channel) {
  return channel + 1;
}
// What operations on one channel and selects released, whatever the channel.
constexpr uint64_t kPlain = 2, kSelected = 3;

}  // namespace

Goroutines::Goroutines(const AddressOf& address_of) {
  // `gogo` is the tail of runtime.gogo, with the g in rdx.
  watch(address_of, "gogo", Register::rdx, Watched::go_to);
  if (calls_.empty()) return;
  watch(address_of, "runtime.newproc", Register::rax, Watched::start);
  watch(address_of, "runtime.runqput", Register::rbx, Watched::queue);
  watch(address_of, "runtime.chansend", Register::rax, Watched::send);
  watch(address_of, "runtime.chanrecv", Register::rax, Watched::receive);
  watch(address_of, "runtime.closechan", Register::rax, Watched::close);
  watch(address_of, "runtime.selectgo", Register::rax, Watched::select);
  watch(address_of, "sync.(*Pool).Get", Register::rax, Watched::pool);
  watch(address_of, "sync.(*Pool).Put", Register::rax, Watched::pool);
  watch(address_of, "runtime.gcMarkTermination", Register::rax, Watched::collect);
}

void Goroutines::watch(const AddressOf& address_of, const char* function, Register argument,
                       Watched what) {
  const auto address = address_of(function);
  if (!address) return;
  calls_[*address] = argument;
  watched_[*address] = what;
}

StrandId Goroutines::numbered(uint64_t key) {
  return by_key_.try_emplace(key, static_cast<StrandId>(by_key_.size() + 1)).first->second;
}

StrandId Goroutines::strand(TaskId task) {
  const auto it = running_.find(task);
  return numbered(it != running_.end() ? it->second : task);
}

// What `strand` did so far comes before what waits for `released`; once back in the program it
// comes after all that released `awaited`.
void Goroutines::order(StrandId strand, uint64_t released, uint64_t awaited,
                       RaceDetector& detector) {
  detector.release(strand, released);
  awaited_[strand].push_back(awaited);
}

void Goroutines::called(TaskId task, const LogEntry& entry, RaceDetector& detector) {
  const uint64_t argument = entry.address;
  const StrandId self = strand(task);
  switch (watched_.at(entry.pc)) {
    case Watched::go_to:
      running_[task] = argument;
      break;
    case Watched::start:
      starting_[task] = self;
      break;
    case Watched::queue:
      if (const auto parent = starting_.find(task); parent != starting_.end()) {
        detector.fork(parent->second, numbered(argument));
        starting_.erase(parent);
      }
      break;
    case Watched::send:
      order(self, sent(argument), received(argument), detector);
      order(self, kPlain, kSelected, detector);
      break;
    case Watched::receive:
      order(self, received(argument), sent(argument), detector);
      order(self, kPlain, kSelected, detector);
      break;
    case Watched::close:
      detector.release(self, sent(argument));
      detector.release(self, kPlain);
      break;
    case Watched::select:
      order(self, kSelected, kPlain, detector);
      order(self, kSelected, kSelected, detector);
      break;
    case Watched::pool:
      order(self, argument, argument, detector);
      break;
    case Watched::collect:
      // What is allocated from now on may be memory that was something else.
      detector.forget_accesses(kGoHeap, kGoHeapSize);
      stacks_.clear();
      break;
  }
}

void Goroutines::back_in_program(StrandId strand, RaceDetector& detector) {
  const auto it = awaited_.find(strand);
  if (it == awaited_.end()) return;
  for (const uint64_t object : it->second) detector.acquire(strand, object);
  awaited_.erase(it);
}

bool Goroutines::private_to(TaskId task, uint64_t address) const {
  const auto in = [&](const auto& ranges, auto key) {
    const auto it = ranges.find(key);
    return it != ranges.end() && it->second.contains(address);
  };
  if (in(system_stack_, task) || in(thread_local_, task)) return true;
  const auto next = stacks_.upper_bound(address);
  return next != stacks_.begin() && address < std::prev(next)->second;
}

void Goroutines::begin_segment(TaskId task, const std::vector<LogEntry>& segment, uint64_t fs_base,
                               const GuestMemory& memory) {
  thread_local_[task] = {fs_base - kBelowFsBase, fs_base + kControlBlock};
  const auto stack_of = [&](uint64_t g) -> std::optional<Range> {
    const auto low = memory.load<uint64_t>(g + kGStack), high = memory.load<uint64_t>(g + 8);
    if (!low || !high) return std::nullopt;
    return Range{*low, *high};
  };
  const auto learn = [&](uint64_t g) {
    if (const auto range = stack_of(g); range && range->start != 0) {
      uint64_t& end = stacks_[range->start];
      end = std::max(end, range->end);
    }
    if (system_stack_.contains(task)) return;
    const auto m = memory.load<uint64_t>(g + kGM);
    const auto g0 = m && *m != 0 ? memory.load<uint64_t>(*m + kMG0) : std::nullopt;
    if (!g0) return;
    if (const auto range = stack_of(*g0)) system_stack_[task] = *range;
  };
  for (const auto& entry : segment) {
    if (entry.kind != HEDDLE_ENTRY_CALL) continue;
    const auto what = watched_.find(entry.pc);
    if (what != watched_.end() && what->second == Watched::go_to) learn(entry.address);
  }
  if (const auto g = running_.find(task); g != running_.end()) learn(g->second);
}

bool Goroutines::runtime(const std::string& function) {
  const std::string_view name = function;
  // Atomic operations are the program's: the compiler or sync/atomic calls them for it.
  if (name.starts_with("runtime/internal/atomic.")) return false;
  // Maps are the program's own: what it does to one from two goroutines races.
  if (name.starts_with("runtime.map") && !name.starts_with("runtime.mapclear")) return false;
  // Assembly of the runtime's, under the name that it is linked to.
  if (name == "time.now") return true;
  // The system calls of package syscall.
  if (name.starts_with("runtime/internal/syscall.")) return false;
  for (const auto* prefix : {"runtime.",
                             "runtime/",
                             "_rt0_",
                             "gogo",
                             "callRet",
                             "gosave_",
                             "sync.(*Pool).",
                             "sync.(*poolChain).",
                             "sync.(*poolDequeue).",
                             "sync.runtime_",
                             "x_cgo_",
                             "crosscall",
                             "threadentry",
                             "_cgo_wait_runtime_init_done",
                             "_cgo_try_pthread_create",
                             "_cgo_sys_thread_start",
                             "_cgo_release_context",
                             "_cgo_topofstack",
                             "indexbytebody",
                             "cmpbody",
                             "memeqbody",
                             "aeshashbody",
                             "setg_gcc",
                             "debugCall",
                             "type..eq"})
    if (name.starts_with(prefix)) return true;
  return false;
}

}  // namespace heddle
