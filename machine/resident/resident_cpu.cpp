#include "machine/resident/resident_cpu.h"

#include <cpuid.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "machine/tracee/guest_code.h"

namespace heddle {
namespace {

using translator::ExitKind;

constexpr unsigned long kFsGsBase = 2;  // AT_HWCAP2 (arch/x86/include/uapi/asm/hwcap2.h)
constexpr uint64_t kComponents = 0xe7;  // of XCR0: x87, SSE, AVX, AVX-512
constexpr size_t kMxcsr = 24, kHeader = 512, kAvx = 576, kAvxEnd = 832;  // Intel SDM vol. 1, 13.4
constexpr uint32_t kInitialMxcsr = 0x1f80;
constexpr uint16_t kInitialControlWord = 0x37f;

uint64_t enabled_components() {
  unsigned a, b, c, d;
  if (!(getauxval(AT_HWCAP2) & kFsGsBase))
    throw ResidentUnavailable("the system does not let programs set fs (FSGSBASE)");
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
    throw ResidentUnavailable("the processor has no AVX");
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 7) != 7) throw ResidentUnavailable("the system does not use AVX");
  return low & kComponents;
}

void* place(layout::Range range, int prot, int flags, int file) {
  void* got = mmap(reinterpret_cast<void*>(range.start), range.size, prot,
                   flags | MAP_NORESERVE | MAP_FIXED, file, 0);
  if (got == MAP_FAILED)
    throw ResidentUnavailable(std::string("placing the code cache: ") + std::strerror(errno));
  return got;
}

// The same memory in the first page of every arena.
heddle_hot_state* place_hot_state() {
  const int file = memfd_create("heddle-hot", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, layout::kHotStateSize) != 0)
    throw ResidentUnavailable(std::string("memfd_create: ") + std::strerror(errno));
  for (const auto& arena : layout::kArenas)
    place({arena.start, layout::kHotStateSize}, PROT_READ | PROT_WRITE, MAP_SHARED, file);
  close(file);
  return reinterpret_cast<heddle_hot_state*>(layout::kArenas.front().start);
}

constexpr uint64_t kLookupMiss = 0, kReturnMiss = 1;

// Code and lookup tables, at the guest's addresses in this very process.
std::shared_ptr<SharedCode> map_code() {
  constexpr int kOwn = MAP_PRIVATE | MAP_ANONYMOUS;
  auto code = std::make_shared<SharedCode>();
  for (size_t i = 0; i < layout::kArenas.size(); ++i)
    code->arenas[i] = static_cast<uint8_t*>(
        place(layout::kArenas[i], PROT_READ | PROT_WRITE | PROT_EXEC, kOwn, -1));
  code->hot = place_hot_state();
  code->lookup =
      static_cast<uint8_t*>(place(layout::kLookupTable, PROT_READ | PROT_WRITE, kOwn, -1));
  code->returns =
      static_cast<uint8_t*>(place(layout::kReturnTable, PROT_READ | PROT_WRITE, kOwn, -1));
  // Addresses where nothing is: the fault tells.
  code->lookup_miss = kLookupMiss;
  code->return_miss = kReturnMiss;
  std::fill_n(reinterpret_cast<uint64_t*>(code->lookup),
              layout::kLookupTable.size / sizeof(uint64_t), kLookupMiss);
  std::fill_n(reinterpret_cast<uint64_t*>(code->returns),
              layout::kReturnTable.size / sizeof(uint64_t), kReturnMiss);
  place(layout::kTaskStates, PROT_READ | PROT_WRITE, kOwn, -1);
  return code;
}

heddle_resident_state* state_page() {
  return reinterpret_cast<heddle_resident_state*>(HostProcess::task_state(1));
}

}  // namespace

ExtendedRegisters::ExtendedRegisters() {
  std::memcpy(area_.bytes.data() + kMxcsr, &kInitialMxcsr, sizeof kInitialMxcsr);
}

RawExtendedState ExtendedRegisters::raw() const {
  const auto& bytes = area_.bytes;
  RawExtendedState state(bytes.begin(), bytes.begin() + kAvxEnd);
  uint64_t present = 0;
  std::memcpy(&present, bytes.data() + kHeader, sizeof present);
  if (!(present & 1)) {
    std::fill(state.begin(), state.begin() + kMxcsr, 0);
    std::memcpy(state.data(), &kInitialControlWord, sizeof kInitialControlWord);
    std::fill(state.begin() + 32, state.begin() + 160, 0);
  }
  if (!(present & 2)) std::fill(state.begin() + 160, state.begin() + 416, 0);
  if (!(present & 4)) std::fill(state.begin() + kAvx, state.begin() + kAvxEnd, 0);
  present |= 7;
  std::memcpy(state.data() + kHeader, &present, sizeof present);
  return state;
}

void ExtendedRegisters::set(const RawExtendedState& state) {
  std::memcpy(area_.bytes.data(), state.data(), std::min(state.size(), kAvxEnd));
}

ResidentCpu::ResidentCpu(ResidentMemory& memory, const translator::Options& options)
    : memory_(memory), state_(state_page()), faults_(state_page()), cache_(map_code(), [&] {
        auto resident = options;
        resident.resident = true;
        return resident;
      }()) {
  *state_ = {};
  state_->extended_mask = enabled_components();
  state_->task.self = reinterpret_cast<uint64_t>(state_);
  state_->exit_entry = reinterpret_cast<uint64_t>(&heddle_resident_left);
  __asm__ volatile("wrgsbase %0" ::"r"(reinterpret_cast<uint64_t>(state_)));
}

uint64_t ResidentCpu::canonical_flags(uint64_t pc, uint64_t rflags) {
  const auto [known, fresh] = dead_flags_.try_emplace(pc, 0);
  if (fresh) known->second = ~translator::canonical_flags(GuestCode(memory_), pc, ~uint64_t{0});
  return rflags & ~known->second;
}

void ResidentCpu::settle(TaskContext& context, uint64_t pc, const translator::Spills& spills,
                         uint8_t phase, uint8_t uncounted) {
  const auto& task = state_->task;
  const auto& hot = *HEDDLE_HOT_STATE;
  std::copy(std::begin(task.saved), std::end(task.saved), context.registers.values.begin());
  for (const auto& [reg, slot] : spills)
    context.registers[reg] = slot < translator::Spill::kHeld
                                 ? hot.spill[slot]
                                 : task.saved[slot - translator::Spill::kHeld];
  context.registers[Register::rip] = pc;
  context.registers[Register::rflags] = canonical_flags(pc, task.saved_flags);
  context.ticks = static_cast<Ticks>(hot.ticks_granted - hot.ticks_left) + uncounted;
  context.phase = phase;
  context.split_value = phase == 0 ? 0 : task.split_value;
}

const translator::ExitSite* ResidentCpu::site() {
  const auto low = static_cast<uint32_t>(state_->exit);
  const auto [known, fresh] = sites_.try_emplace(low, nullptr);
  if (!fresh) return known->second;
  for (const auto& arena : layout::kArenas) {
    // No two arenas have addresses with the same low half.
    const uint64_t host = arena.start + static_cast<uint32_t>(low - arena.start);
    if (!arena.contains(host)) continue;
    if (const auto* found = cache_.exit_at(host)) return known->second = found;
  }
  throw std::logic_error("an exit from nowhere");
}

Exit ResidentCpu::run(TaskContext& context, ExtendedRegisters& extended, Ticks budget,
                      uint64_t points) {
  const uint64_t pc = context.registers[Register::rip];
  exact_.reset();
  return go(
      context, extended, budget, points,
      context.phase == 0 ? cache_.enter(pc, false, memory_) : cache_.enter_split(pc, memory_));
}

Exit ResidentCpu::run_exact(TaskContext& context, ExtendedRegisters& extended,
                            translator::Stop stop) {
  exact_ = stop;
  return go(context, extended, 1, GuestCpu::kUnlimited,
            cache_.enter_exact(context.registers[Register::rip], stop, memory_));
}

Exit ResidentCpu::go(TaskContext& context, ExtendedRegisters& extended, Ticks budget,
                     uint64_t points, uint64_t from) {
  if (budget == 0 || points == 0) throw std::logic_error("a run needs a budget");
  auto& task = state_->task;
  task.task = context.task;
  // The tick that takes ticks_left to 0 is the last of the budget.
  HEDDLE_HOT_STATE->ticks_left = static_cast<int64_t>(budget);
  HEDDLE_HOT_STATE->ticks_granted = static_cast<int64_t>(context.ticks + budget);
  task.points_left = points;
  task.split_value = context.split_value;
  task.fs_base = context.registers[Register::fs_base];
  std::copy_n(context.registers.values.begin(), std::size(task.saved), std::begin(task.saved));
  task.saved_flags = context.registers[Register::rflags];
  state_->extended = reinterpret_cast<uint64_t>(extended.area());
  state_->resume = from;
  while (true) {
    faults_.clear();
    heddle_resident_enter(state_);
    if (auto exit = faults_.faulted() ? faulted(context) : left(context)) return *exit;
  }
}

std::optional<Exit> ResidentCpu::left(TaskContext& context) {
  const translator::ExitSite* at = site();
  const uint64_t pc = at->pc;
  if (at->kind == ExitKind::link) {
    state_->resume =
        exact_ ? cache_.enter_exact(pc, *exact_, memory_) : cache_.enter(pc, false, memory_);
    return std::nullopt;
  }
  if (at->kind == ExitKind::returned) return transferred(context, true);
  settle(context, pc, at->spills, at->phase);
  return exit_of(*at, context, memory_);
}

// An indirect transfer that no pad is known for, or that may lead to a stop.
std::optional<Exit> ResidentCpu::transferred(TaskContext& context, bool returns) {
  auto& saved = state_->task.saved;
  const uint64_t target = saved[static_cast<size_t>(Register::r11)];
  if (!canonical(target)) {
    // The transfer faults itself, as if it had not begun.
    const auto* transfer = cache_.transfer_at(HEDDLE_HOT_STATE->transfer);
    if (!transfer) throw std::logic_error("an indirect transfer from nowhere");
    settle(context, transfer->pc, translator::kLent, 0);
    context.registers[Register::rsp] -= static_cast<uint64_t>(int64_t{transfer->stack_change});
    Exit out;
    out.kind = Exit::Kind::fault;
    out.info.si_signo = SIGSEGV;
    out.info.si_code = SI_KERNEL;
    return out;
  }
  if (returns && exact_ && !translator::return_ticks(GuestCode(memory_), target)) {
    for (const auto& [reg, slot] : translator::kLent)
      saved[static_cast<size_t>(reg)] = HEDDLE_HOT_STATE->spill[slot];
    state_->resume = cache_.enter_exact(target, *exact_, memory_);
  } else {
    state_->resume =
        returns ? cache_.enter_return(target, memory_) : cache_.enter_indirect(target, memory_);
  }
  return std::nullopt;
}

std::optional<Exit> ResidentCpu::faulted(TaskContext& context) {
  Exit out;
  out.kind = Exit::Kind::fault;
  const siginfo_t& info = faults_.last_fault();
  const uint64_t rip = faults_.fault_rip();
  if (info.si_signo == SIGSEGV && (rip == kLookupMiss || rip == kReturnMiss))
    return transferred(context, rip == kReturnMiss);
  const auto origin = cache_.origin_at(rip);
  if (!origin) {
    char where[96];
    std::snprintf(where, sizeof where, "task %u: signal %d at host address 0x%llx", context.task,
                  info.si_signo, static_cast<unsigned long long>(rip));
    throw std::logic_error(std::string(where) + ": a fault in the machine's own code");
  }
  settle(context, origin->pc, origin->spills, 0, origin->uncounted);
  out.info = info;
  if (info.si_signo == SIGFPE || info.si_signo == SIGILL)
    out.info.si_addr = reinterpret_cast<void*>(origin->pc);
  return out;
}

void ResidentCpu::code_changed(uint64_t start, uint64_t size) {
  dead_flags_.clear();
  if (cache_.holds(start, size)) cache_.invalidate(start, size);
}

}  // namespace heddle
