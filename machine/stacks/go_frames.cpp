#include "machine/stacks/go_frames.h"

#include "machine/stacks/call_site.h"
#include "machine/stacks/loaded_module.h"

namespace heddle {
namespace {

constexpr uint64_t kWord = sizeof(uint64_t);

// In asmcgocall's frame on the thread's stack (src/runtime/asm_amd64.s).
constexpr uint64_t kCallingG = 48, kDepth = 40;

// Where crosscall2 keeps the registers that C's callees preserve, from its return address down
// (PUSH_REGS_HOST_TO_ABI0 in src/runtime/cgo/abi_amd64.h).
constexpr std::pair<Register, uint64_t> kSavedByCrosscall2[] = {
    {Register::rbp, 8},  {Register::r15, 16}, {Register::r14, 24},
    {Register::r13, 32}, {Register::r12, 40}, {Register::rbx, 48}};

// Where functions that align the stack for C, or call the vDSO on the thread's stack, keep their
// own stack pointer: one of the registers that C preserves (src/runtime/sys_linux_amd64.s:
// callCgoMmap and the like, nanotime1, sigfwd).
constexpr Register kStackPointerKept[] = {Register::rbx, Register::r12, Register::rbp};

bool is_any_of(std::string_view name, std::initializer_list<std::string_view> names) {
  for (const auto& other : names)
    if (name == other) return true;
  return false;
}

// Go calls these as if the code that they interrupt had.
bool is_interruption(std::string_view name) {
  return is_any_of(name, {"runtime.sigpanic", "runtime.asyncPreempt"});
}

}  // namespace

GoFrames::GoFrames(const Symbols& symbols, Layouts& layouts, const GuestMemory& memory,
                   uint64_t fs_base)
    : symbols_(symbols), layouts_(layouts), memory_(memory), fs_base_(fs_base) {}

const std::optional<GoThread>& GoFrames::thread(const LoadedModule& module) {
  if (thread_known_) return thread_;
  thread_known_ = true;
  const auto [it, fresh] = layouts_.try_emplace(&module);
  if (fresh) it->second = GoLayout::of(module);
  if (it->second) thread_.emplace(*it->second, memory_, fs_base_);
  return thread_;
}

// To where the goroutine left its stack. systemstack leaves a place in systemstack_switch, whose
// frame stands for systemstack's own.
bool GoFrames::leave_thread_stack(const LoadedModule& module, StackPosition& position) {
  const auto& runtime = thread(module);
  const auto saved = runtime ? runtime->goroutine_left() : std::nullopt;
  if (!saved) return false;
  const auto function = module.go_function(saved->pc);
  if (!function) return false;
  StackPosition left = position;
  left.registers[Register::rip] = saved->pc;
  left.registers[Register::rsp] = saved->sp;
  left.after_call = true;
  if (function->name == "runtime.systemstack_switch" && !pop(module, *function, left)) return false;
  left_ = position.sp();
  changed_ = true;
  position = left;
  return true;
}

bool GoFrames::step_to_goroutine(StackPosition& position) {
  const LoadedModule* module = changed_ ? nullptr : symbols_.go_module();
  if (!module || !thread(*module) || thread_->on_goroutine(position.sp())) return false;
  return leave_thread_stack(*module, position);
}

// Back in asmcgocall: to the goroutine that it was called on, or to the same stack further up where
// it was called on the thread's.
bool GoFrames::leave_asmcgocall(const LoadedModule& module, StackPosition& position) {
  const auto g = memory_.load<uint64_t>(position.sp() + kCallingG);
  const auto depth = memory_.load<uint64_t>(position.sp() + kDepth);
  if (!g || !depth) return false;
  uint64_t sp = *depth;
  if (*g != 0) {
    const auto& runtime = thread(module);
    const auto end = runtime ? runtime->stack_end(*g) : memory_.load<uint64_t>(*g + kWord);
    if (!end) return false;
    sp = *end - *depth;
    left_ = position.sp();
    changed_ = true;
  }
  position.registers[Register::rsp] = sp;
  return true;
}

// Where the function runs on two stacks: puts the position on the one that it was called on, or
// further out. False where that is not known; otherwise the position's function may have changed.
bool GoFrames::change_stack(const LoadedModule& module, const GoFunctions::Function& function,
                            StackPosition& position) {
  const auto& runtime = thread(module);
  const bool on_goroutine = runtime && runtime->on_goroutine(position.sp());
  if (function.name == "runtime.cgocallback") {
    const auto sp = on_goroutine ? runtime->callback_above(left_) : std::nullopt;
    // Otherwise the goroutine's stack leads past the C code to the Go code that called it.
    if (sp) position.registers[Register::rsp] = *sp;
    changed_ = changed_ || sp;
    return pop(module, function, position);
  }
  if (function.name == "runtime.asmcgocall" && position.after_call)
    return leave_asmcgocall(module, position) && pop(module, function, position);
  if (on_goroutine) return pop(module, function, position);
  // Not called from this frame yet, it may not have changed stacks, nor be about to.
  if (!position.after_call) {
    StackPosition same = position;
    if (pop(module, function, same) && is_return_address(symbols_, memory_, same.pc())) {
      position = same;
      return true;
    }
  }
  return leave_thread_stack(module, position);
}

bool GoFrames::pop(const LoadedModule& module, const GoFunctions::Function& function,
                   StackPosition& position) {
  const auto size = module.go()->frame_size(function, position.code());
  if (!size) return false;
  uint64_t at = position.sp() + *size;
  auto caller = memory_.load<uint64_t>(at);
  if (function.writes_sp && !(caller && is_return_address(symbols_, memory_, *caller))) {
    for (const auto kept : kStackPointerKept) {
      at = position.registers[kept] + *size;
      caller = memory_.load<uint64_t>(at);
      if (caller && is_return_address(symbols_, memory_, *caller)) break;
      caller.reset();
    }
  }
  if (!caller || *caller == 0) return false;
  if (function.name == "crosscall2")
    for (const auto& [saved, below] : kSavedByCrosscall2)
      position.registers[saved] = memory_.load<uint64_t>(at - below).value_or(0);
  position.registers[Register::rip] = *caller;
  position.registers[Register::rsp] = at + kWord;
  position.after_call = !is_interruption(function.name);
  return true;
}

bool GoFrames::step(const LoadedModule& module, const GoFunctions::Function& function,
                    StackPosition& position) {
  if (is_any_of(function.name, {"runtime.systemstack", "runtime.mcall", "runtime.morestack",
                                "runtime.asmcgocall", "runtime.cgocallback"}))
    return change_stack(module, function, position);
  // A signal handler's caller is the signal frame.
  if (function.outermost && function.name != "runtime.sigtramp") return false;
  return pop(module, function, position);
}

}  // namespace heddle
