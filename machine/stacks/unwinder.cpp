#include "machine/stacks/unwinder.h"

#include <array>

#include "machine/stacks/call_frames.h"
#include "machine/stacks/call_site.h"
#include "machine/stacks/go_frames.h"
#include "machine/stacks/loaded_module.h"
#include "machine/stacks/page_cache.h"

namespace heddle {
namespace {

constexpr uint64_t kWord = sizeof(uint64_t);

// mov $SYS_rt_sigreturn, %rax; syscall: what every libc, and Go, has signal handlers return to.
// Debuggers know it by these bytes too, so nobody writes it otherwise.
constexpr std::array<uint8_t, 9> kSigreturn = {0x48, 0xc7, 0xc0, 0x0f, 0x00,
                                               0x00, 0x00, 0x0f, 0x05};
constexpr uint64_t kSyscallInSigreturn = 7;

// The registers in a struct ucontext, in their order there (arch/x86/include/uapi/asm/
// sigcontext.h, struct sigcontext_64).
constexpr uint64_t kSavedRegisters = 40;
constexpr std::array kInSigcontext = {
    Register::r8,  Register::r9,  Register::r10, Register::r11, Register::r12, Register::r13,
    Register::r14, Register::r15, Register::rdi, Register::rsi, Register::rbp, Register::rbx,
    Register::rdx, Register::rax, Register::rcx, Register::rsp, Register::rip, Register::rflags};

bool is_sigreturn(const GuestMemory& memory, uint64_t pc) {
  return memory.load<std::array<uint8_t, 9>>(pc) == kSigreturn;
}

// Is the position one that a signal handler returns to? Then the stack pointer is that of the
// frame's ucontext.
bool at_signal_frame(const GuestMemory& memory, const StackPosition& position) {
  return is_sigreturn(memory, position.pc()) ||
         (!position.after_call && is_sigreturn(memory, position.pc() - kSyscallInSigreturn));
}

bool leave_signal_frame(const GuestMemory& memory, StackPosition& position) {
  const auto saved =
      memory.load<std::array<uint64_t, kInSigcontext.size()>>(position.sp() + kSavedRegisters);
  if (!saved) return false;
  for (size_t i = 0; i < kInSigcontext.size(); ++i)
    position.registers[kInSigcontext[i]] = (*saved)[i];
  position.after_call = false;
  return true;
}

// The guest jumped to where there is no code, or is in a function of assembly code that nothing
// describes and that has not moved the stack pointer (the C library's clone and vfork): the caller
// is at the top of the stack.
bool pop_return_address(const Symbols& symbols, const GuestMemory& memory,
                        StackPosition& position) {
  if (position.after_call) return false;
  const auto caller = memory.load<uint64_t>(position.sp());
  if (!caller || !is_return_address(symbols, memory, *caller)) return false;
  position.registers[Register::rip] = *caller;
  position.registers[Register::rsp] += kWord;
  position.after_call = true;
  return true;
}

// Where nothing describes the code: the caller that the frame pointer leads to.
bool follow_frame_pointer(const Symbols& symbols, const GuestMemory& memory,
                          StackPosition& position) {
  constexpr uint64_t kLargestFrame = 1 << 16;  // beyond it lies somebody else's stack
  const uint64_t frame = position.registers[Register::rbp];
  if (frame - position.sp() > kLargestFrame || frame % kWord != 0) return false;
  const auto link = memory.load<std::array<uint64_t, 2>>(frame);
  if (!link || !is_return_address(symbols, memory, (*link)[1])) return false;
  position.registers[Register::rbp] = (*link)[0];
  position.registers[Register::rip] = (*link)[1];
  position.registers[Register::rsp] = frame + 2 * kWord;
  position.after_call = true;
  return true;
}

}  // namespace

struct Unwinder::Tables {
  explicit Tables(const std::vector<Module>& modules)
      : own(std::make_unique<Symbols>(modules)), symbols(*own), call_frames(symbols) {}
  explicit Tables(const Symbols& borrowed) : symbols(borrowed), call_frames(symbols) {}

  std::unique_ptr<Symbols> own;
  const Symbols& symbols;
  CallFrames call_frames;
  GoFrames::Layouts go_layouts;
};

Unwinder::Unwinder(const std::vector<Module>& modules)
    : tables_(std::make_unique<Tables>(modules)) {}
Unwinder::Unwinder(const Symbols& symbols) : tables_(std::make_unique<Tables>(symbols)) {}
Unwinder::~Unwinder() = default;

const Symbols& Unwinder::symbols() const {
  return tables_->symbols;
}

std::vector<Frame> Unwinder::stack(const GuestMemory& guest, const Registers& registers,
                                   size_t limit) const {
  const Symbols& symbols = tables_->symbols;
  const PageCache memory(guest);
  GoFrames go_frames(symbols, tables_->go_layouts, memory, registers[Register::fs_base]);
  std::vector<Frame> frames;
  const auto add = [&](const StackPosition& position, const Site& site) {
    if (frames.size() < limit)
      frames.push_back({position.pc(), position.sp(), site.function, site.file, site.line,
                        site.module, site.inlined});
  };

  StackPosition position{registers, false};
  while (frames.size() < limit) {
    if (at_signal_frame(memory, position)) {
      Site site;
      site.function = kSignalFrame;
      add(position, site);
      if (!leave_signal_frame(memory, position)) break;
      continue;
    }
    const LoadedModule* module = symbols.code_module(position.code());
    const auto go = module ? module->go_function(position.code()) : std::nullopt;
    // Nobody wrote the call that goroutines seem to start with.
    if (go && go->name == "runtime.goexit" && !frames.empty()) break;
    for (const auto& site : symbols.sites(position.code())) add(position, site);
    if (go) {
      if (!go_frames.step(*module, *go, position)) break;
      continue;
    }
    const auto step = tables_->call_frames.step(memory, position);
    if (step == CallFrames::Step::stepped) continue;
    const bool unknown = step == CallFrames::Step::unknown;
    if (unknown && pop_return_address(symbols, memory, position)) continue;
    if (go_frames.step_to_goroutine(position)) continue;
    if (!unknown || !follow_frame_pointer(symbols, memory, position)) break;
  }
  return frames;
}

}  // namespace heddle
