#include "tests/differential/sandbox.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "machine/tracee/guest_code.h"
#include "tests/differential/single_step.h"

namespace heddle::differential {
namespace {

constexpr size_t kMemorySize = kDataSize + kPage + kStackSize;
constexpr size_t kLegacySize = 512, kHeaderSize = 64, kAvxSize = 256;
constexpr size_t kX87Pointers = 6;  // opcode and addresses of the last x87 instruction
constexpr size_t kSoftware = 464;   // bytes up to 512 are the kernel's

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// A memfd of the process's, mapped here, and by `map` there.
uint8_t* share(HostProcess& process, size_t size, const std::function<void(uint64_t)>& map) {
  const uint64_t name = process.stage(std::string("differential"));
  const int64_t remote = process.remote_syscall(SYS_memfd_create, {name, 0});
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, process.pid(), 0));
  const int fd = static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, remote, 0));
  if (remote < 0 || fd < 0 || ftruncate(fd, static_cast<off_t>(size)) != 0) fail("sharing memory");
  map(static_cast<uint64_t>(remote));
  void* here = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (here == MAP_FAILED) fail("mapping shared memory");
  close(fd);
  close(pidfd);
  return static_cast<uint8_t*>(here);
}

// int1 traps behind itself (AMD64 Architecture Programmer's Manual, volume 3, INT1). Under some
// hypervisors the kernel finds the task at it.
void go_behind_int1(State& end, const ProcessMemory& memory) {
  constexpr uint8_t kInt1 = 0xf1;
  if (end.signal.si_signo != SIGTRAP || end.signal.si_code != TRAP_BRKPT) return;
  auto& rip = end.registers[Register::rip];
  if (memory.load<uint8_t>(rip - 1) != kInt1 && memory.load<uint8_t>(rip) == kInt1) ++rip;
}

}  // namespace

Sandbox::Sandbox() : process_(HostProcess::start_empty()) {
  const auto map = [&](uint64_t at, uint64_t size, uint64_t prot, uint64_t fd, uint64_t offset) {
    const int64_t got =
        process_.remote_syscall(SYS_mmap, {at, size, prot, MAP_SHARED | MAP_FIXED, fd, offset});
    if (got != static_cast<int64_t>(at)) throw std::runtime_error("placing the sandbox's memory");
  };
  code_ = share(process_, kCodeSize, [&](uint64_t fd) {
    for (const auto& p : kPlacements) map(p.code, kCodeSize, PROT_READ | PROT_EXEC, fd, 0);
  });
  memory_ = share(process_, kMemorySize, [&](uint64_t fd) {
    for (const auto& p : kPlacements) {
      map(p.data(), kDataSize, PROT_READ | PROT_WRITE, fd, 0);
      map(p.read_only(), kPage, PROT_READ, fd, kDataSize);
      map(p.stack(), kStackSize, PROT_READ | PROT_WRITE, fd, kDataSize + kPage);
    }
  });
  const auto log = layout::kAccessLog;
  process_.remote_syscall(SYS_mprotect,
                          {log.start, layout::kAccessLogUsed, PROT_READ | PROT_WRITE});
  raw_ = process_.thread().extended_state();
}

Sandbox::~Sandbox() {
  process_.kill();
  munmap(code_, kCodeSize);
  munmap(memory_, kMemorySize);
}

void Sandbox::reset(const GuestProgram& program) {
  program_ = program;
  const auto code = program.layout().bytes;
  if (code.size() > kCodeSize) throw std::logic_error("a generated program is too large");
  std::memset(code_, 0xcc, kCodeSize);
  std::memcpy(code_, code.data(), code.size());
  if (filled_from_ != program.memory_seed) {
    filled_from_ = program.memory_seed;
    filled_.resize(kMemorySize);
    uint64_t x = program.memory_seed | 1;
    for (size_t i = 0; i < kMemorySize; i += 8) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      // Some zeros and small numbers among the noise.
      const uint64_t value = x % 5 == 0 ? 0 : x % 7 == 0 ? x >> 56 : x;
      std::memcpy(filled_.data() + i, &value, sizeof value);
    }
  }
  std::memcpy(memory_, filled_.data(), kMemorySize);
  RawExtendedState raw = raw_;
  std::memcpy(raw.data(), program.extended.data(), kSoftware);
  uint64_t present = 0;
  std::memcpy(&present, raw.data() + kLegacySize, sizeof present);
  present |= 7;
  std::memcpy(raw.data() + kLegacySize, &present, sizeof present);
  std::memcpy(raw.data() + kLegacySize + kHeaderSize,
              program.extended.data() + kLegacySize + kHeaderSize, kAvxSize);
  process_.thread().set_extended_state(raw);
}

std::vector<uint8_t> Sandbox::extended() {
  const auto raw = process_.thread().extended_state();
  std::vector<uint8_t> out(kSoftware + kAvxSize);
  std::memcpy(out.data(), raw.data(), kSoftware);
  std::memset(out.data() + kX87Pointers, 0, 24 - kX87Pointers);
  std::memcpy(out.data() + kSoftware, raw.data() + kLegacySize + kHeaderSize, kAvxSize);
  return out;
}

std::vector<uint8_t> Sandbox::memory() const {
  return {memory_, memory_ + kMemorySize};
}

void Sandbox::start_native() {
  auto& thread = process_.thread();
  thread.set_registers(GuestCpu::to_host(program_.registers, thread.registers()));
}

State Sandbox::run_native() {
  auto& thread = process_.thread();
  start_native();
  thread.resume();
  const int status = thread.wait();
  if (!WIFSTOPPED(status) || stop_event(status) != 0)
    throw std::runtime_error("the sandbox's process ended");
  State end{guest_registers(thread.registers()), extended(), memory(), thread.signal_info()};
  go_behind_int1(end, process_.memory());
  return end;
}

std::optional<std::vector<Step>> Sandbox::step_native(size_t limit, State* final_state) {
  auto& thread = process_.thread();
  const GuestCode code(process_.memory());
  start_native();
  std::vector<Step> path;
  Registers now = program_.registers;
  Ticks ticks = 0;
  while (true) {
    const uint64_t pc = now[Register::rip];
    const bool again =
        !path.empty() && path.back().registers[Register::rip] == pc && iterates(code, pc);
    if (!again) path.push_back({now, ticks});
    if (path.size() > limit) return std::nullopt;
    const SingleStep step = single_step(thread, process_.memory());
    if (!step.done) {
      *final_state = {step.registers, extended(), memory(), step.signal};
      go_behind_int1(*final_state, process_.memory());
      return path;
    }
    ticks += ticks_of(code, pc, step.registers[Register::rip]);
    now = step.registers;
  }
}

GuestCpu& Sandbox::translated(const translator::Options& options) {
  if (cache_) {
    // A native run that went astray in translated code may have left a request, to be answered
    // until the cache has gone.
    std::atomic_ref(process_.shared_code()->hot->miss_request).store(0);
    cache_->invalidate(0, ~uint64_t{0});  // its entries in the look-up table
  }
  cpu_.reset();
  turns_ = 0;
  cache_ = std::make_shared<CodeCache>(process_.shared_code(), options);
  cpu_ = std::make_unique<GuestCpu>(process_, cache_, process_.thread(), 1);
  return *cpu_;
}

GuestCpu& Sandbox::translated_in_turn() {
  constexpr unsigned kTurns = 64;  // a cache keeps the host code of what is invalid
  if (turns_ == 0) {
    translated(fast_translation());
    turns_ = kTurns;
  } else {
    std::atomic_ref(process_.shared_code()->hot->miss_request).store(0);
    cache_->invalidate(0, ~uint64_t{0});
  }
  --turns_;
  return *cpu_;
}

TaskContext Sandbox::context() const {
  TaskContext context;
  context.task = 1;
  context.registers = program_.registers;
  return context;
}

State Sandbox::state(const TaskContext& context, const siginfo_t& signal, bool with_memory) {
  return {context.registers, extended(), with_memory ? memory() : std::vector<uint8_t>(), signal};
}

}  // namespace heddle::differential
