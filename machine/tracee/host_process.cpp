#include "machine/tracee/host_process.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <system_error>

#include "machine/runtime/runtime.h"
#include "machine/syscalls/served.h"
#include "machine/tracee/fixed_addresses.h"

namespace heddle {
namespace {

constexpr unsigned long kOptions = PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                                   PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const auto& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

// The child's half of start(): waits to be seized, then becomes the program.
[[noreturn]] void become(const Program& program, int executable, int go, int report) {
  char byte;
  if (read(go, &byte, 1) != 1) _exit(125);
  for (const int ignored : program.ignored_signals) std::signal(ignored, SIG_IGN);
  personality(ADDR_NO_RANDOMIZE | static_cast<unsigned long>(personality(0xffffffff)));
  int error = 0;
  if (!program.working_directory.empty() && chdir(program.working_directory.c_str()) != 0) {
    error = errno;
  } else {
    const auto argv = pointers(program.arguments);
    const auto envp = pointers(program.environment);
    if (executable >= 0)
      fexecve(executable, argv.data(), envp.data());
    else
      execve(program.path.c_str(), argv.data(), envp.data());
    error = errno;
  }
  if (write(report, &error, sizeof error) != sizeof error) _exit(125);
  _exit(127);
}

// Seizes the child and runs it up to the first instruction after execve.
HostThread launch(const Program& program, int executable) {
  int go[2], report[2];
  if (pipe2(go, O_CLOEXEC) != 0 || pipe2(report, O_CLOEXEC) != 0) fail("pipe");
  const pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    close(go[1]);
    become(program, executable, go[0], report[1]);
  }
  close(go[0]);
  close(report[1]);
  if (ptrace(PTRACE_SEIZE, pid, nullptr, kOptions) != 0) {
    const int error = errno;
    ::kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    close(go[1]);
    close(report[0]);
    errno = error;
    fail("ptrace is refused here (see heddle doctor)");
  }
  if (write(go[1], "", 1) != 1) fail("starting the program");
  close(go[1]);
  HostThread thread(pid);
  while (true) {
    const int status = thread.wait();
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      int error = ENOENT;
      const bool told = read(report[0], &error, sizeof error) == sizeof error;
      close(report[0]);
      if (!told) throw ExecFailed(program.path + ": ended before it was executed", ENOEXEC);
      throw ExecFailed(program.path + ": " + std::strerror(error), error);
    }
    if (stop_event(status) == PTRACE_EVENT_EXEC) break;
    thread.resume(stop_event(status) == 0 ? WSTOPSIG(status) : 0);
  }
  close(report[0]);
  return thread;
}

// The stop at PTRACE_EVENT_EXEC is inside the system call, which is still to write its result to
// rax. A breakpoint at the entry point gets the thread out of it, with registers that are ours to
// set.
void leave_execve(HostThread& thread, ProcessMemory& memory) {
  const uint64_t entry = thread.registers().rip;
  const auto original = memory.load<uint8_t>(entry);
  if (!original) throw std::runtime_error("the program's entry point is not mapped");
  memory.store<uint8_t>(entry, 0xcc);
  while (true) {
    thread.resume();
    const int status = thread.wait();
    if (WIFEXITED(status) || WIFSIGNALED(status))
      throw ExecFailed("the program ended at its first instruction", ENOEXEC);
    if (is_signal_stop(status, SIGTRAP) && thread.registers().rip == entry + 1) break;
  }
  memory.store<uint8_t>(entry, *original);
  auto regs = thread.registers();
  regs.rip = entry;
  thread.set_registers(regs);
}

// The smallest static executable: one loadable segment whose code is int3.
std::vector<uint8_t> empty_program() {
  constexpr uint64_t kBase = 0x5f00'0000;
  std::vector<uint8_t> image(sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) + 16, 0xcc);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_entry = kBase + sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_flags = PF_R | PF_X;
  segment.p_vaddr = segment.p_paddr = kBase;
  segment.p_filesz = segment.p_memsz = image.size();
  segment.p_align = 0x1000;
  std::memcpy(image.data(), &header, sizeof header);
  std::memcpy(image.data() + sizeof header, &segment, sizeof segment);
  return image;
}

}  // namespace

SharedCode::~SharedCode() {
  for (size_t i = 0; i < arenas.size(); ++i)
    if (arenas[i]) munmap(arenas[i], layout::kArenas[i].size);
  if (lookup) munmap(lookup, layout::kLookupTable.size);
  if (returns) munmap(returns, layout::kReturnTable.size);
  if (hot) munmap(hot, layout::kHotStateSize);
}

HostProcess HostProcess::start(const Program& program) {
  HostProcess process;
  process.thread_ = launch(program, -1);
  process.memory_ = std::make_shared<ProcessMemory>(process.pid());
  leave_execve(process.thread_, *process.memory_);
  return process;
}

HostProcess HostProcess::adopt(HostThread child, const HostProcess& parent) {
  HostProcess process;
  process.thread_ = child;
  process.memory_ = std::make_shared<ProcessMemory>(child.tid());
  process.memory_->inherit(parent.memory());
  process.code_ = parent.code_;
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
  HostProcess process;
  process.thread_ = launch(program, fd);
  close(fd);
  process.memory_ = std::make_shared<ProcessMemory>(process.pid());
  leave_execve(process.thread_, *process.memory_);
  process.install();
  for (const auto& entry : read_maps(process.pid())) {
    if (layout::machines_own(entry.start) || entry.path == "[vsyscall]") continue;
    process.remote_syscall(SYS_munmap, {entry.start, entry.end - entry.start});
  }
  // Descriptors of the supervisor that the process inherited are not the guest's.
  process.remote_syscall(SYS_close_range, {0, ~0u, 0});
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
  memory_->write(layout::kRuntimeCode, runtime::code());
  memory_->write(layout::kMissCode, runtime::miss_code());
  syscall_at_ = kSyscallInstruction;
  memory_->write(entry, original);
  random_addresses_ = has_random_addresses(pid());
  if (random_addresses_) move_to_fixed_addresses(*this);

  map(layout::kTaskStates, PROT_READ | PROT_WRITE, kAnonymous, ~0ull);
  map(layout::kRuntimeData, PROT_READ | PROT_WRITE, kAnonymous, ~0ull);
  static_assert(sizeof(heddle_runtime_data) <= layout::kRuntimeData.size);
  static_assert(offsetof(heddle_runtime_data, served) == 0);
  const auto& served = served_calls();
  memory_->write(layout::kRuntimeData.start,
                 {reinterpret_cast<const uint8_t*>(served.data()), sizeof served});
  map(layout::kScratch, PROT_READ | PROT_WRITE, kAnonymous, ~0ull);

  code_ = std::make_shared<SharedCode>();
  share_code(thread_, *code_);
}

void HostProcess::share_code(HostThread& by, SharedCode& code) {
  const auto& lookup = layout::kLookupTable;
  code.lookup = share(by, {&lookup.start, 1}, lookup.size, PROT_READ);
  const auto& returns = layout::kReturnTable;
  code.returns = share(by, {&returns.start, 1}, returns.size, PROT_READ);
  std::array<uint64_t, layout::kArenas.size()> starts;
  for (size_t i = 0; i < starts.size(); ++i) {
    starts[i] = layout::kArenas[i].start;
    code.arenas[i] = share(by, {&starts[i], 1}, layout::kArenas[i].size, PROT_READ | PROT_EXEC);
  }
  code.hot = reinterpret_cast<heddle_hot_state*>(
      share(by, starts, layout::kHotStateSize, PROT_READ | PROT_WRITE));
  code.hot->miss_entry = layout::kMissCode + runtime::link_miss();
  code.hot->budget_entry = layout::kMissCode + runtime::budget();
  code.lookup_miss = layout::kMissCode + runtime::lookup_miss();
  code.return_miss = layout::kMissCode + runtime::return_miss();
  // All pages at once cost less than a fault at each; where the kernel does not know how, they
  // fault.
  madvise(code.lookup, lookup.size, MADV_POPULATE_WRITE);
  madvise(code.returns, returns.size, MADV_POPULATE_WRITE);
  std::fill_n(reinterpret_cast<uint64_t*>(code.lookup), lookup.size / sizeof(uint64_t),
              code.lookup_miss);
  std::fill_n(reinterpret_cast<uint64_t*>(code.returns), returns.size / sizeof(uint64_t),
              code.return_miss);
}

// By a memfd that the guest's process makes and that is taken out of it: no descriptor of ours
// shows in the guest.
int HostProcess::share_file(HostThread& by, std::span<const uint64_t> places, uint64_t size,
                            uint64_t guest_prot) {
  const auto check = [](int64_t result, const char* what) {
    if (result < 0)
      throw std::system_error(static_cast<int>(-result), std::generic_category(), what);
    return static_cast<uint64_t>(result);
  };
  const uint64_t name = stage(std::string("heddle-code"));
  const uint64_t remote =
      check(remote_syscall(by, SYS_memfd_create, {name, MFD_CLOEXEC}), "memfd_create");
  // Not by pidfd_getfd, which the default seccomp profile of containers refuses.
  const auto path = "/proc/" + std::to_string(pid()) + "/fd/" + std::to_string(remote);
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) fail("taking the code cache's memory out of the program");
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) fail("sizing the code cache");
  for (const uint64_t place : places)
    check(remote_syscall(
              by, SYS_mmap,
              {place, size, guest_prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, remote, 0}),
          "placing the code cache in the program's address space");
  remote_syscall(by, SYS_close, {remote});
  return fd;
}

uint8_t* HostProcess::share(HostThread& by, std::span<const uint64_t> places, uint64_t size,
                            uint64_t guest_prot) {
  const int fd = share_file(by, places, size, guest_prot);
  void* here = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  close(fd);
  if (here == MAP_FAILED) fail("mapping the code cache");
  return static_cast<uint8_t*>(here);
}

std::shared_ptr<SharedCode> HostProcess::make_code_private(
    HostThread& by, const std::array<uint64_t, layout::kArenas.size()>& used) {
  auto own = std::make_shared<SharedCode>();
  share_code(by, *own);
  *own->hot = *code_->hot;
  std::memcpy(own->lookup, code_->lookup, layout::kLookupTable.size);
  std::memcpy(own->returns, code_->returns, layout::kReturnTable.size);
  for (size_t i = 0; i < layout::kArenas.size(); ++i) {
    const uint64_t size = used[i] - layout::kArenas[i].start;
    if (size > layout::kHotStateSize)
      std::memcpy(own->arenas[i] + layout::kHotStateSize, code_->arenas[i] + layout::kHotStateSize,
                  size - layout::kHotStateSize);
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
  by.set_registers(regs);
  std::vector<int> held;
  while (true) {
    by.resume();
    const int status = by.wait();
    if (WIFEXITED(status) || WIFSIGNALED(status))
      throw TraceeGone("the program's process was killed");
    if (stop_event(status) != 0) continue;
    regs = by.registers();
    if (is_signal_stop(status, SIGTRAP) && regs.rip == syscall_at_ + 3) break;
    // A signal of the guest's arrives in the middle of our business: it comes again afterwards.
    held.push_back(WSTOPSIG(status));
  }
  const auto result = static_cast<int64_t>(regs.rax);
  by.set_registers(before);
  for (const int signal : held) syscall(SYS_tkill, by.tid(), signal);
  return result;
}

void HostProcess::watch_code(HostThread& by, const std::set<uint64_t>& pages) {
  auto& watched = memory_->watched();
  const auto maps = memory_->maps();
  const auto watch = [&](uint64_t page, uint32_t prot, uint64_t code) {
    const bool already = watched.watches(page);
    watched.watch(page, prot, code);
    if (already) return;
    const int64_t result = remote_syscall(
        by, SYS_mprotect, {page, kCodePage, (prot & ~uint32_t{PROT_WRITE}) | PROT_READ, 0, 0, 0});
    if (result != 0)
      throw std::system_error(static_cast<int>(-result), std::generic_category(),
                              "write-protecting code");
  };
  for (const uint64_t page : pages) {
    const auto own = std::ranges::find_if(
        maps, [&](const MapsEntry& entry) { return page >= entry.start && page < entry.end; });
    if (own == maps.end()) continue;
    if (!own->shared) {
      watch(page, own->prot, page);
      continue;
    }
    watched.add_shared(page);
    const uint64_t offset = own->offset + (page - own->start);
    for (const auto& entry : maps) {
      if (!entry.shared || entry.inode != own->inode || entry.device != own->device ||
          !(entry.prot & PROT_WRITE) || offset - entry.offset >= entry.end - entry.start)
        continue;
      watch(entry.start + (offset - entry.offset), entry.prot, page);
    }
  }
}

std::set<uint64_t> HostProcess::let_write(HostThread& by, uint64_t start, uint64_t size) {
  std::set<uint64_t> code;
  for (const uint64_t page : memory_->watched().within(start, size)) {
    auto released = memory_->watched().release(page);
    remote_syscall(by, SYS_mprotect, {page, kCodePage, released.prot, 0, 0, 0});
    code.merge(released.code);
  }
  return code;
}

std::set<uint64_t> HostProcess::mapping_changed(uint64_t start, uint64_t size) {
  auto& watched = memory_->watched();
  std::set<uint64_t> code = watched.take_shared();
  for (const uint64_t page : watched.within(start, size)) code.merge(watched.release(page).code);
  return code;
}

uint64_t HostProcess::stage(std::span<const uint8_t> bytes) {
  const uint64_t at = layout::kScratch.end() - layout::kScratchPerTask;
  if (bytes.size() > layout::kScratchPerTask || !memory_->write(at, bytes))
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
  copy.thread_.set_registers(before);
  return copy;
}

void HostProcess::kill() {
  if (thread_.tid() == 0) return;
  ::kill(thread_.tid(), SIGKILL);
  int status = 0;
  while (true) {
    const pid_t got = waitpid(thread_.tid(), &status, __WALL);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || WIFEXITED(status) || WIFSIGNALED(status)) break;
    ptrace(PTRACE_CONT, thread_.tid(), nullptr, 0);
  }
  thread_ = HostThread();
}

}  // namespace heddle
