#include "machine/tracee/guest_cpu.h"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <stdexcept>
#include <utility>

#include "machine/pages.h"
#include "machine/runtime/runtime.h"
#include "machine/tracee/granted_ticks.h"
#include "machine/tracee/guest_code.h"

namespace heddle {
namespace {

using translator::ExitKind;

static_assert(offsetof(heddle_hot_state, ticks_left) == HEDDLE_HOT_TICKS_LEFT);
static_assert(offsetof(heddle_hot_state, spill) == HEDDLE_HOT_SPILL);
static_assert(offsetof(heddle_hot_state, transfer) == HEDDLE_HOT_TRANSFER);
static_assert(offsetof(heddle_task_state, split_value) == HEDDLE_STATE_SPLIT_VALUE);
static_assert(offsetof(heddle_task_state, access_next) == HEDDLE_STATE_ACCESS_NEXT);
static_assert(offsetof(heddle_task_state, fs_base) == HEDDLE_STATE_FS_BASE);
static_assert(offsetof(heddle_task_state, syscall_entry) == HEDDLE_STATE_SYSCALL_ENTRY);
static_assert(offsetof(heddle_task_state, minus_owner) == HEDDLE_STATE_MINUS_OWNER);
static_assert(offsetof(heddle_task_state, owner) == HEDDLE_STATE_OWNER);
static_assert(offsetof(heddle_task_state, calls_left) == HEDDLE_STATE_CALLS_LEFT);
static_assert(sizeof(heddle_task_state) <= 0x1000);

constexpr uint64_t kAccessLogGuard = layout::kAccessLog.start + layout::kAccessLogUsed;

// Signals that an instruction raises by itself.
bool synchronous(const siginfo_t& info) {
  switch (info.si_signo) {
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
      return info.si_code > 0;  // sent by the kernel, not by kill or sigqueue
    default:
      return false;
  }
}

// What is at a system call's pc. It takes all flags, so none is dead there.
class SyscallInstruction final : public translator::CodeSource {
 public:
  size_t read(uint64_t, std::span<uint8_t> out) const override {
    constexpr std::array<uint8_t, 2> kBytes{0x0f, 0x05};
    const size_t size = std::min(out.size(), kBytes.size());
    std::copy_n(kBytes.begin(), size, out.begin());
    return size;
  }
};

}  // namespace

GuestCpu::GuestCpu(HostProcess& process, std::shared_ptr<CodeCache>& cache, HostThread thread,
                   TaskId state_slot)
    : process_(process),
      cache_(cache),
      thread_(thread),
      state_(HostProcess::task_state(state_slot)) {
  heddle_task_state state{};
  state.self = state_;
  state.access_next = layout::kAccessLog.start;
  state.task = state_slot;
  state.host_stack_top = state_ + layout::kTaskStateStride;
  state.syscall_entry = layout::kRuntimeCode;
  state.log = layout::kSyscallLog.start;
  state.data = layout::kRuntimeData.start;
  if (!process_.memory().store(state_, state))
    throw std::runtime_error("placing a task's state page");
  auto regs = thread_.registers();
  regs.gs_base = state_;
  thread_.set_registers(regs);
  base_ = regs;
}

heddle_task_state GuestCpu::load_state() const {
  const auto state = process_.memory().load<heddle_task_state>(state_);
  if (!state) throw TraceeGone("the program's process is gone");
  return *state;
}

heddle_task_state GuestCpu::take_state() {
  const auto known = std::exchange(known_state_, std::nullopt);
  return known ? *known : load_state();
}

heddle_hot_state& GuestCpu::hot() const {
  return *process_.shared_code()->hot;
}

template <typename Enter>
auto GuestCpu::code(Enter enter) {
  auto& memory = process_.memory();
  const auto lock = cache_->lock();
  if (const auto written = memory.take_written(); !written.empty()) {
    own_code();
    for (const uint64_t page : written) cache_->invalidate(page, kPage);
  }
  auto host = enter();
  const auto fresh = memory.take_unwatched();
  if (fresh.empty()) return host;
  process_.watch_code(thread_, fresh);
  if (cache_.use_count() == 1) return host;
  // What such pages hold is this address space's own.
  for (const uint64_t page : fresh) cache_->invalidate(page, kPage);
  own_code();
  return enter();
}

void GuestCpu::own_code() {
  if (cache_.use_count() > 1) {
    cache_ = cache_->copy(process_.make_code_private(thread_, cache_->used()));
    cache_->begin(process_.shared_memory());
  }
}

bool GuestCpu::let_write(uint64_t start, uint64_t size) {
  if (process_.memory().watched().within(start, size).empty()) return false;
  own_code();
  for (const uint64_t page : process_.let_write(thread_, start, size))
    cache_->invalidate(page, kPage);
  return true;
}

void GuestCpu::store_state(const TaskContext& context, Ticks budget, uint64_t points) {
  if (budget == 0 || points == 0) throw std::logic_error("a run needs a budget");
  heddle_task_state state = take_state();
  collect_log(state);
  cache_->begin(process_.shared_memory());
  state.task = context.task;
  state.calls_left = calls_;
  state.looks = !own_descriptors_;
  state.signals = signals_.has_value();
  if (signals_) {
    const auto& stack = signals_->stack;
    state.blocked = signals_->blocked;
    state.stack[0] = stack.sp;
    state.stack[1] = static_cast<uint32_t>(stack.flags);
    state.stack[2] = stack.size;
  }
  grant(hot(), context.ticks, budget, cache_->options().fast);
  state.points_left = points;
  state.split_value = context.split_value;
  state.owner = context.owner != 0 ? context.owner : context.task;
  state.minus_owner = 0 - state.owner;
  state.fs_base = context.registers[Register::fs_base];
  process_.memory().store(state_, state);
}

void GuestCpu::start(const TaskContext& context, Ticks budget, uint64_t points) {
  store_state(context, budget, points);
  exact_.reset();
  auto regs = to_host(context.registers, base_);
  const uint64_t pc = context.registers[Register::rip];
  regs.rip = code([&] {
    return context.phase == 0 ? enter(pc, regs) : cache_->enter_split(pc, process_.memory());
  });
  started_at_ = regs.rip;
  started_ticks_ = ticks_of(hot());
  regs.gs_base = state_;
  thread_.set_registers(regs);
  thread_.resume();
}

// A thread with all registers of the guest's goes on at `pc`.
uint64_t GuestCpu::enter(uint64_t pc, const user_regs_struct& regs) {
  const bool lent = cache_->options().fast;
  if (lent) {
    const Registers registers = to_guest(regs);
    for (const auto& [reg, slot] : translator::kLent) hot().spill[slot] = registers[reg];
  }
  return cache_->enter(pc, lent, process_.memory());
}

// A thread that leaves a throw-away translation goes on in another, as long as the stop may come,
// or in code that stays. What the instruction has added to rsp, where it faults instead.
std::optional<uint64_t> GuestCpu::go_on(const translator::ExitSite& site, user_regs_struct& regs) {
  auto& memory = process_.memory();
  if (site.kind == ExitKind::link) {
    regs.rip = code([&] {
      return exact_ ? cache_->enter_exact(site.pc, *exact_, memory)
                    : cache_->enter(site.pc, !site.spills.empty(), memory);
    });
  } else {
    const uint64_t target = regs.r11;
    if (!canonical(target)) {
      const auto* transfer = cache_->transfer_at(hot().transfer);
      if (!transfer) throw std::logic_error("an indirect transfer from nowhere");
      return static_cast<uint64_t>(int64_t{transfer->stack_change});
    }
    if (exact_ && !translator::return_ticks(GuestCode(memory), target)) {
      regs.r10 = hot().spill[1];
      regs.r11 = hot().spill[2];
      regs.rip = code([&] { return cache_->enter_exact(target, *exact_, memory); });
    } else {
      regs.rip = code([&] { return cache_->enter_return(target, memory); });
    }
  }
  thread_.set_registers(regs);
  thread_.resume();
  return std::nullopt;
}

void GuestCpu::start_exact(const TaskContext& context, translator::Stop stop) {
  store_state(context, 1, kUnlimited);
  exact_ = stop;
  auto regs = to_host(context.registers, base_);
  regs.rip = code([&] {
    return cache_->enter_exact(context.registers[Register::rip], stop, process_.memory());
  });
  regs.gs_base = state_;
  thread_.set_registers(regs);
  thread_.resume();
}

void GuestCpu::start_syscall(const TaskContext& context, uint64_t number,
                             const std::array<uint64_t, 6>& arguments) {
  auto regs = to_host(context.registers, base_);
  regs.rax = number;
  regs.rdi = arguments[0];
  regs.rsi = arguments[1];
  regs.rdx = arguments[2];
  regs.r10 = arguments[3];
  regs.r8 = arguments[4];
  regs.r9 = arguments[5];
  regs.rip = HostProcess::kSyscallInstruction;
  regs.gs_base = state_;
  thread_.set_registers(regs);
  thread_.resume();
}

std::optional<Exit> GuestCpu::stopped(int status, TaskContext& context) {
  cache_->rest();
  Exit out;
  out.status = status;
  if (WIFEXITED(status) || WIFSIGNALED(status) || stop_event(status) != 0) return out;

  auto regs = base_ = thread_.registers();
  known_state_.reset();
  const siginfo_t info = thread_.signal_info();
  auto& memory = process_.memory();
  heddle_task_state state{};
  // The task as the guest would see it: at `pc`, spilled registers back in place.
  const auto settle = [&](uint64_t pc, const translator::Spills& spills, uint8_t phase,
                          uint8_t uncounted = 0) {
    context.registers = to_guest(regs);
    const Registers host = context.registers;
    for (const auto& [reg, slot] : spills)
      context.registers[reg] = slot < translator::Spill::kHeld
                                   ? hot().spill[slot]
                                   : host.values[slot - translator::Spill::kHeld];
    context.registers[Register::rip] = pc;
    auto& flags = context.registers[Register::rflags];
    if (out.site && out.site->kind == ExitKind::syscall)
      flags = translator::canonical_flags(SyscallInstruction(), pc, flags);
    else
      clear_dead_flags(context.registers, memory);
    context.ticks = static_cast<Ticks>(ticks_of(hot())) + uncounted;
    context.phase = phase;
    context.split_value = phase == 0 ? 0 : state.split_value;
  };
  const auto fault = [&](int signo, int code, uint64_t address) {
    out.kind = Exit::Kind::fault;
    out.info = {};
    out.info.si_signo = signo;
    out.info.si_code = code;
    out.info.si_addr = reinterpret_cast<void*>(address);
    return out;
  };

  if (WSTOPSIG(status) == SIGTRAP && info.si_code == SI_KERNEL) {
    if (regs.rip - 1 == layout::kMissCode + runtime::miss_stop()) {
      uint64_t request = 0;
      const auto answer = code([&] {
        // Asked once more of a copy of the cache.
        if (request == 0)
          request = hot().miss_request;
        else
          hot().miss_request = request;
        return cache_->answer_miss(memory);
      });
      regs.rcx = hot().miss_rcx;
      if (!answer) {
        // The transfer faults itself, as if it had not begun.
        const auto* transfer = cache_->transfer_at(hot().transfer);
        if (!transfer) throw std::logic_error("an indirect transfer from nowhere");
        settle(transfer->pc, translator::kLent, 0);
        context.registers[Register::rsp] -= static_cast<uint64_t>(int64_t{transfer->stack_change});
        return fault(SIGSEGV, SI_KERNEL, 0);
      }
      regs.rip = *answer;
      thread_.set_registers(regs);
      cache_->watch();
      thread_.resume();
      return std::nullopt;
    }
    if (regs.rip - 1 == layout::kMissCode + runtime::budget_stop()) {
      const auto* site = cache_->exit_at_low(hot().budget_site);
      if (!site) throw std::logic_error("a budget exit from nowhere");
      known_state_ = state = load_state();
      settle(site->pc, site->spills, 0);
      out.kind = Exit::Kind::budget;
      return out;
    }
    if (regs.rip == HostProcess::kServedStop + 1) {
      state = load_state();
      settle(state.syscall_pc + 2, {}, 0);
      out.kind = Exit::Kind::budget;
      return out;
    }
    if (const auto* site = cache_->exit_at(regs.rip - 1)) {
      out.site = site;
      const uint64_t pc = site->pc;
      if (site->kind == ExitKind::link || site->kind == ExitKind::returned) {
        if (auto left = go_on(*site, regs)) {
          settle(pc, site->spills, 0);
          context.registers[Register::rsp] -= *left;
          return fault(SIGSEGV, SI_KERNEL, 0);
        }
        return std::nullopt;
      }
      known_state_ = state = load_state();
      settle(pc, site->spills, site->phase);
      out = exit_of(*site, context, memory);
      if (site->kind == ExitKind::syscall) {
        out.waits = state.planned.left == HEDDLE_LEFT_WAITS;
        out.again = state.planned.left == HEDDLE_LEFT_FULL;
      }
      return out;
    }
  }
  if (synchronous(info) && info.si_signo == SIGSEGV && info.si_code == SEGV_ACCERR) {
    const auto address = reinterpret_cast<uint64_t>(info.si_addr);
    if (let_write(address, 1)) {
      const auto origin = cache_->origin_at(regs.rip);
      const uint64_t page = page_down(address);
      if (origin && cache_->translates(regs.rip, page, kPage)) {
        // It may write to what follows it.
        state = load_state();
        settle(origin->pc, origin->spills, 0);
        gather_ticks(hot(), origin->uncounted);
        regs = to_host(context.registers, regs);
        const auto lock = cache_->lock();
        regs.rip = cache_->enter_once(origin->pc, memory);
        memory.take_unwatched();
        thread_.set_registers(regs);
      }
      thread_.resume();
      return std::nullopt;
    }
  }
  if (synchronous(info)) {
    // The runtime touched memory that the guest named and does not have.
    if (retreat()) {
      thread_.resume();
      return std::nullopt;
    }
    if (const auto origin = cache_->origin_at(regs.rip)) {
      const auto address = reinterpret_cast<uint64_t>(info.si_addr);
      if (origin->access_log && info.si_signo == SIGSEGV && address - kAccessLogGuard < 0x1000) {
        out.kind = Exit::Kind::log_full;
        return out;
      }
      state = load_state();
      settle(origin->pc, origin->spills, 0, origin->uncounted);
      out.kind = Exit::Kind::fault;
      out.info = info;
      if (info.si_signo == SIGFPE || info.si_signo == SIGILL)
        out.info.si_addr = reinterpret_cast<void*>(origin->pc);
      return out;
    }
    char where[96];
    std::snprintf(where, sizeof where, "signal %d at host address 0x%llx (address 0x%llx)",
                  info.si_signo, static_cast<unsigned long long>(regs.rip),
                  static_cast<unsigned long long>(reinterpret_cast<uint64_t>(info.si_addr)));
    throw std::logic_error(std::string("task ") + std::to_string(context.task) +
                           ": a fault in the machine's own code: " + where);
  }
  out.kind = Exit::Kind::signal;
  out.info = info;
  return out;
}

Exit GuestCpu::wait(TaskContext& context) {
  while (true) {
    const int status = thread_.wait();
    if (auto exit = stopped(status, context)) return *exit;
  }
}

Exit GuestCpu::run(TaskContext& context, Ticks budget, uint64_t points) {
  start(context, budget, points);
  return wait(context);
}

Exit GuestCpu::run_exact(TaskContext& context, translator::Stop stop) {
  start_exact(context, stop);
  return wait(context);
}

bool GuestCpu::at_start() const {
  return thread_.registers().rip == started_at_ && ticks_of(hot()) == started_ticks_;
}

void GuestCpu::resume_here(Ticks budget, uint64_t points) {
  heddle_task_state state = take_state();
  collect_log(state);
  grant(hot(), static_cast<Ticks>(ticks_of(hot())), budget, cache_->options().fast);
  state.points_left = points;
  process_.memory().store(state_, state);
  thread_.resume();
}

}  // namespace heddle
