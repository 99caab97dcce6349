#include "machine/tracee/host_process.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <utility>

#include "machine/pages.h"
#include "machine/runtime/runtime.h"
#include "machine/syscalls/served.h"
#include "machine/tracee/empty_program.h"
#include "machine/tracee/fixed_addresses.h"

namespace heddle {
namespace {

// Makes rbx's list of r12 RemoteCalls and stops.
constexpr std::array<uint8_t, 43> kManyCalls{
    0x48, 0x8b, 0x03,        // mov (%rbx), %rax
    0x48, 0x8b, 0x7b, 0x08,  // mov 8(%rbx), %rdi
    0x48, 0x8b, 0x73, 0x10,  // mov 16(%rbx), %rsi
    0x48, 0x8b, 0x53, 0x18,  // mov 24(%rbx), %rdx
    0x4c, 0x8b, 0x53, 0x20,  // mov 32(%rbx), %r10
    0x4c, 0x8b, 0x43, 0x28,  // mov 40(%rbx), %r8
    0x4c, 0x8b, 0x4b, 0x30,  // mov 48(%rbx), %r9
    0x0f, 0x05,              // syscall
    0x48, 0x89, 0x43, 0x38,  // mov %rax, 56(%rbx)
    0x48, 0x83, 0xc3, 0x40,  // add $64, %rbx
    0x49, 0xff, 0xcc,        // dec %r12
    0x75, 0xd6,              // jnz to the first
    0xcc,                    // int3
};
static_assert(sizeof(RemoteCall) == 64 && offsetof(RemoteCall, arguments) == 8 &&
              offsetof(RemoteCall, result) == 56);
constexpr uint64_t kManyCallsAt = HostProcess::kSyscallInstruction + 0x20;
static_assert(kManyCallsAt + kManyCalls.size() <= layout::kRuntimeCode);
// Where their list is, behind what is staged.
constexpr uint64_t kRemoteCalls = layout::kScratch.end() - 0x4000;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

RemoteCall map_call(uint64_t start, uint64_t size, uint64_t prot, uint64_t flags, uint64_t fd,
                    uint64_t offset = 0) {
  return {SYS_mmap, {start, size, prot, flags | MAP_FIXED, fd, offset}, 0};
}

}  // namespace

HostProcess HostProcess::start(Launch launch) {
  HostProcess process;
  process.thread_ = launch.take();
  process.memory_ = std::make_shared<ProcessMemory>(process.pid());
  process.code_ = launch.code();
  process.shared_ = launch.shared();
  leave_execve(process.thread_, *process.memory_);
  return process;
}

HostProcess HostProcess::adopt(HostThread child, const HostProcess& parent) {
  HostProcess process;
  process.thread_ = child;
  process.memory_ = std::make_shared<ProcessMemory>(child.tid());
  process.memory_->inherit(parent.memory());
  process.code_ = parent.code_;
  std::erase_if(process.code_->processes, [](const auto& other) { return other.expired(); });
  process.code_->processes.push_back(process.memory_);
  process.syscall_at_ = parent.syscall_at_;
  process.random_addresses_ = parent.random_addresses_;
  return process;
}

HostProcess HostProcess::after_exec(HostThread thread) {
  HostProcess process;
  process.thread_ = thread;
  process.memory_ = std::make_shared<ProcessMemory>(thread.tid());
  leave_execve(process.thread_, *process.memory_);
  return process;
}

HostProcess HostProcess::start_empty() {
  const auto image = empty_program();
  // Not close-on-exec: the kernel would find no file behind /proc/self/fd while executing it.
  const int fd = memfd_create("empty", MFD_CLOEXEC);
  if (fd < 0) fail("memfd_create");
  if (write(fd, image.data(), image.size()) != static_cast<ssize_t>(image.size()))
    fail("writing the empty program");
  Program program;
  program.path = "empty program";
  program.arguments = {"heddle-replay"};
  Launch launch(program, fd);
  close(fd);
  auto process = start(std::move(launch));
  process.install();
  std::vector<RemoteCall> calls;
  for (const auto& entry : read_maps(process.pid()))
    if (!layout::machines_own(entry.start) && entry.path != "[vsyscall]")
      calls.push_back({SYS_munmap, {entry.start, entry.end - entry.start}, 0});
  // Descriptors of the supervisor that the process inherited are not the guest's.
  calls.push_back({SYS_close_range, {0, ~0u, 0}, 0});
  process.remote_syscalls(process.thread_, calls);
  // Checkpoints are children: they must neither send SIGCHLD nor stay as zombies. The guest's own
  // dispositions are virtual.
  constexpr std::array<uint64_t, 4> kIgnore{1 /* SIG_IGN */, 0, 0, 0};  // struct kernel_sigaction
  const uint64_t ignore = process.stage({reinterpret_cast<const uint8_t*>(kIgnore.data()), 32});
  process.remote_syscall(SYS_rt_sigaction, {SIGCHLD, ignore, 0, 8});
  return process;
}

void HostProcess::install() {
  using layout::kFixed;
  const auto map = [&](layout::Range range, uint64_t prot, uint64_t flags, uint64_t fd) {
    const int64_t got =
        remote_syscall(SYS_mmap, {range.start, range.size, prot, flags | MAP_FIXED, fd, 0});
    if (got != static_cast<int64_t>(range.start))
      throw std::system_error(static_cast<int>(-got), std::generic_category(),
                              "placing the machine's memory in the program's address space");
  };
  constexpr uint64_t kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  for (const auto& entry : read_maps(pid())) {
    const bool clash = entry.start < kFixed.end() && entry.end > kFixed.start;
    if (clash)
      throw std::runtime_error("the program occupies addresses that heddle needs (" + entry.path +
                               ")");
  }

  // The first calls borrow the program's entry point, until our own text is there.
  const uint64_t entry = thread_.registers().rip;
  std::array<uint8_t, 3> original{};
  memory_->read(entry, original);
  constexpr std::array<uint8_t, 3> kTrampoline{0x0f, 0x05, 0xcc};
  memory_->write(entry, kTrampoline);
  syscall_at_ = entry;
  map(kFixed, PROT_NONE, kAnonymous, ~0ull);
  map(layout::kRuntimeText, PROT_READ | PROT_EXEC, kAnonymous, ~0ull);
  memory_->write(kSyscallInstruction, kTrampoline);
  memory_->store<uint8_t>(kServedStop, 0xcc);
  memory_->write(kManyCallsAt, kManyCalls);
  memory_->write(layout::kRuntimeCode, runtime::code());
  memory_->write(layout::kMissCode, runtime::miss_code());
  syscall_at_ = kSyscallInstruction;
  memory_->write(entry, original);
  random_addresses_ = has_random_addresses(pid());
  if (random_addresses_) move_to_fixed_addresses(*this);

  map(layout::kScratch, PROT_READ | PROT_WRITE, kAnonymous, ~0ull);
  std::vector<RemoteCall> calls;
  for (const auto& range : {layout::kTaskStates, layout::kRuntimeData, layout::kCpuidTable})
    calls.push_back(map_call(range.start, range.size, PROT_READ | PROT_WRITE, kAnonymous, ~0ull));
  make(thread_, calls);
  static_assert(sizeof(heddle_cpuid_table) <= layout::kCpuidTable.size);
  static_assert(sizeof(heddle_runtime_data) <= layout::kRuntimeData.size);
  static_assert(offsetof(heddle_runtime_data, served) == 0);
  const auto& served = served_calls();
  memory_->write(layout::kRuntimeData.start,
                 {reinterpret_cast<const uint8_t*>(served.data()), sizeof served});
  // Where programs are placed at random, mappings are the supervisor's to place.
  memory_->store<uint64_t>(layout::kRuntimeData.start + offsetof(heddle_runtime_data, maps),
                           !random_addresses_ && !reading_executes(pid()));

  if (code_) {
    place_code(thread_, *code_, shared_);
  } else {
    code_ = std::make_shared<SharedCode>();
    share_code(thread_, *code_);
  }
}

void HostProcess::make(HostThread& by, std::span<RemoteCall> calls) {
  remote_syscalls(by, calls);
  for (const auto& call : calls)
    if (call.result < 0)
      throw std::system_error(static_cast<int>(-call.result), std::generic_category(),
                              "placing the machine's memory in the program's address space");
}

void HostProcess::share_code(HostThread& by, SharedCode& code) {
  const auto [fd, remote] = make_shared_file(by, SharedCode::file_size());
  code.map(fd);
  close(fd);
  place_code(by, code, remote);
}

void HostProcess::place_code(HostThread& by, SharedCode& code, uint64_t remote) {
  std::vector<RemoteCall> calls;
  const auto place = [&](uint64_t start, uint64_t size, uint64_t prot, uint64_t offset) {
    calls.push_back(map_call(start, size, prot, MAP_SHARED | MAP_NORESERVE, remote, offset));
  };
  place(layout::kLookupTable.start, layout::kLookupTable.size, PROT_READ, 0);
  place(layout::kReturnTable.start, layout::kReturnTable.size, PROT_READ, SharedCode::kReturnsAt);
  for (size_t i = 0; i < layout::kArenas.size(); ++i) {
    const auto& arena = layout::kArenas[i];
    const uint64_t own = code.own_end[i] - arena.start;
    place(code.own_end[i], arena.size - own, PROT_READ | PROT_EXEC, SharedCode::arena_at(i) + own);
    place(arena.start, layout::kHotStateSize, PROT_READ | PROT_WRITE, SharedCode::kHotAt);
  }
  calls.push_back({SYS_close, {remote}, 0});
  make(by, calls);
  code.processes = {memory_};
}

bool HostProcess::map_translations(const std::string& file, int fd,
                                   const std::array<FilePart, layout::kArenas.size()>& parts) {
  const int64_t remote = remote_syscall(SYS_open, {stage(file), O_RDONLY | O_CLOEXEC, 0});
  if (remote < 0) return false;
  // Another may have been put in its place meanwhile.
  struct stat here {
  }, there{};
  const auto path = "/proc/" + std::to_string(pid()) + "/fd/" + std::to_string(remote);
  const bool same = fstat(fd, &here) == 0 && stat(path.c_str(), &there) == 0 &&
                    here.st_dev == there.st_dev && here.st_ino == there.st_ino;
  std::vector<RemoteCall> calls;
  for (size_t i = 0; i < parts.size() && same; ++i)
    if (parts[i].size != 0)
      calls.push_back(map_call(code_->own_end[i], parts[i].size, PROT_READ | PROT_EXEC, MAP_PRIVATE,
                               static_cast<uint64_t>(remote), parts[i].offset));
  calls.push_back({SYS_close, {static_cast<uint64_t>(remote)}, 0});
  remote_syscalls(thread_, calls);
  calls.pop_back();
  // A file system may refuse to have code executed from it: all of it or none.
  if (!same || (!calls.empty() && calls.front().result < 0)) return false;
  for (size_t i = 0; i < parts.size(); ++i) code_->own_end[i] += page_up(parts[i].size);
  return true;
}

HostProcess::SharedFile HostProcess::make_shared_file(HostThread& by, uint64_t size) {
  const uint64_t name = stage(std::string("heddle-code"));
  const int64_t remote = remote_syscall(by, SYS_memfd_create, {name, MFD_CLOEXEC});
  if (remote < 0)
    throw std::system_error(static_cast<int>(-remote), std::generic_category(), "memfd_create");
  // Not by pidfd_getfd, which the default seccomp profile of containers refuses.
  const auto path = "/proc/" + std::to_string(pid()) + "/fd/" + std::to_string(remote);
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) fail("taking the code cache's memory out of the program");
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) fail("sizing the code cache");
  return {fd, static_cast<uint64_t>(remote)};
}

// By a memfd that the guest's process makes and that is taken out of it: no descriptor of ours
// shows in the guest.
int HostProcess::share_file(HostThread& by, std::span<const uint64_t> places, uint64_t size,
                            uint64_t guest_prot) {
  const auto [fd, remote] = make_shared_file(by, size);
  std::vector<RemoteCall> calls;
  for (const uint64_t place : places)
    calls.push_back(map_call(place, size, guest_prot, MAP_SHARED | MAP_NORESERVE, remote));
  calls.push_back({SYS_close, {remote}, 0});
  make(by, calls);
  return fd;
}

std::shared_ptr<SharedCode> HostProcess::make_code_private(
    HostThread& by, const std::array<uint64_t, layout::kArenas.size()>& used) {
  auto own = std::make_shared<SharedCode>();
  own->own_end = code_->own_end;
  share_code(by, *own);
  std::erase_if(code_->processes, [&](const auto& other) { return other.lock() == memory_; });
  *own->hot = *code_->hot;
  std::memcpy(own->lookup, code_->lookup, layout::kLookupTable.size);
  std::memcpy(own->returns, code_->returns, layout::kReturnTable.size);
  for (size_t i = 0; i < layout::kArenas.size(); ++i) {
    if (used[i] <= code_->own_end[i]) continue;
    const uint64_t from = code_->own_end[i] - layout::kArenas[i].start;
    std::memcpy(own->arenas[i] + from, code_->arenas[i] + from, used[i] - code_->own_end[i]);
  }
  code_ = own;
  return own;
}

std::shared_ptr<SharedCode> HostProcess::renew_code(HostThread& by) {
  auto own = std::make_shared<SharedCode>();
  share_code(by, *own);
  code_ = own;
  return own;
}

int64_t HostProcess::remote_syscall(HostThread& by, uint64_t number,
                                    std::array<uint64_t, 6> arguments) {
  const auto before = by.registers();
  auto regs = before;
  regs.rip = syscall_at_;
  regs.orig_rax = ~0ull;
  regs.rax = number;
  regs.rdi = arguments[0];
  regs.rsi = arguments[1];
  regs.rdx = arguments[2];
  regs.r10 = arguments[3];
  regs.r8 = arguments[4];
  regs.r9 = arguments[5];
  regs = run_remote(by, regs, syscall_at_ + 3);
  by.set_registers(before);
  return static_cast<int64_t>(regs.rax);
}

user_regs_struct HostProcess::run_remote(HostThread& by, user_regs_struct regs, uint64_t end) {
  by.set_registers(regs);
  std::vector<int> held;
  while (true) {
    by.resume();
    const int status = by.wait();
    if (WIFEXITED(status) || WIFSIGNALED(status))
      throw TraceeGone("the program's process was killed");
    if (stop_event(status) != 0) continue;
    regs = by.registers();
    if (is_signal_stop(status, SIGTRAP) && regs.rip == end) break;
    // A signal of the guest's arrives in the middle of our business: it comes again afterwards.
    held.push_back(WSTOPSIG(status));
  }
  for (const int signal : held) syscall(SYS_tkill, by.tid(), signal);
  return regs;
}

void HostProcess::remote_syscalls(HostThread& by, std::span<RemoteCall> calls) {
  const std::span<uint8_t> list(reinterpret_cast<uint8_t*>(calls.data()), calls.size_bytes());
  if (calls.empty()) return;
  if (kRemoteCalls + list.size() > layout::kScratch.end())
    throw std::logic_error("more remote calls than there is room for");
  if (!memory_->write(kRemoteCalls, list)) throw TraceeGone("the program's process is gone");
  const auto before = by.registers();
  auto regs = before;
  regs.rip = kManyCallsAt;
  regs.orig_rax = ~0ull;
  regs.rbx = kRemoteCalls;
  regs.r12 = calls.size();
  run_remote(by, regs, kManyCallsAt + kManyCalls.size());
  by.set_registers(before);
  if (memory_->read(kRemoteCalls, list) != list.size())
    throw TraceeGone("the program's process is gone");
}

uint64_t HostProcess::stage(std::span<const uint8_t> bytes) {
  const uint64_t at = layout::kScratch.end() - layout::kScratchPerTask;
  if (at + bytes.size() > kRemoteCalls || !memory_->write(at, bytes))
    throw std::runtime_error("staging an argument in the program's process");
  return at;
}

uint64_t HostProcess::stage(const std::string& text) {
  return stage({reinterpret_cast<const uint8_t*>(text.c_str()), text.size() + 1});
}

HostProcess HostProcess::fork_checkpoint() {
  const auto before = thread_.registers();
  auto regs = before;
  regs.rip = syscall_at_;
  regs.orig_rax = ~0ull;
  regs.rax = SYS_fork;
  thread_.set_registers(regs);
  pid_t child = 0;
  while (true) {
    thread_.resume();
    const int status = thread_.wait();
    if (WIFEXITED(status) || WIFSIGNALED(status))
      throw TraceeGone("the checkpoint's process was killed");
    if (stop_event(status) == PTRACE_EVENT_FORK) {
      child = static_cast<pid_t>(thread_.event_message());
      continue;
    }
    if (is_signal_stop(status, SIGTRAP) && thread_.registers().rip == syscall_at_ + 3) break;
  }
  thread_.set_registers(before);
  if (child == 0)
    throw std::runtime_error("fork of a checkpoint failed: out of processes or memory");

  HostProcess copy;
  copy.thread_ = HostThread(child);
  copy.syscall_at_ = syscall_at_;
  copy.random_addresses_ = random_addresses_;
  copy.code_ = code_;
  while (true) {
    const int status = copy.thread_.wait();
    if (WIFEXITED(status) || WIFSIGNALED(status))
      throw TraceeGone("the checkpoint's process was killed");
    if (is_signal_stop(status, SIGTRAP) && stop_event(status) == 0 &&
        copy.thread_.registers().rip == syscall_at_ + 3)
      break;
    copy.thread_.resume();
  }
  copy.memory_ = std::make_shared<ProcessMemory>(child);
  copy.memory_->inherit(*memory_);
  copy.code_->processes.push_back(copy.memory_);
  copy.thread_.set_registers(before);
  return copy;
}

void HostProcess::kill() {
  if (thread_.tid() == 0) return;
  end_process(thread_.tid());
  thread_ = HostThread();
}

}  // namespace heddle
