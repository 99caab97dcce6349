#include "tests/differential/translated_program.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdio>
#include <stdexcept>

#include "machine/syscalls/table.h"
#include "machine/tracee/guest_code.h"

namespace heddle::differential {
namespace {

class TranslatedProgram {
 public:
  TranslatedProgram(const SteppedProgram& native, const Holding& holding)
      : native_(native), holding_(holding), process_(HostProcess::start(native.program)) {
    process_.install();
    const auto log = layout::kAccessLog;
    process_.remote_syscall(SYS_mprotect,
                            {log.start, layout::kAccessLogUsed, PROT_READ | PROT_WRITE});
    process_.memory().write(native.stack, native.stack_bytes);
    cache_ = std::make_shared<CodeCache>(process_.shared_code(), holding.options);
    cpu_ = std::make_unique<GuestCpu>(process_, cache_, process_.thread(), 1);
    context_.task = 1;
    context_.registers = native.entry;
  }
  ~TranslatedProgram() { process_.kill(); }

  std::optional<std::string> run() {
    size_t place = 0;
    while (true) {
      // The next tick to be compared, and the places before it.
      const Ticks next = (context_.ticks / holding_.stride + 1) * holding_.stride;
      while (holding_.places && place < native_.places.size() &&
             native_.places[place].ticks < std::min<Ticks>(next, native_.ticks.size())) {
        const auto& sample = native_.places[place++];
        if (sample.ticks < context_.ticks) continue;
        if (sample.ticks > context_.ticks) {
          if (auto d = run_to(sample.ticks)) return d;
          if (ended_) return ending();
        }
        if (auto d = stop_at(sample)) return d;
      }
      if (auto d = run_to(next)) return d;
      if (ended_) return ending();
    }
  }

 private:
  std::string where() const {
    char text[80];
    std::snprintf(text, sizeof text,
                  "tick %llu at %llx: ", static_cast<unsigned long long>(context_.ticks),
                  static_cast<unsigned long long>(context_.registers[Register::rip]));
    return text;
  }

  std::optional<std::string> compare(const SteppedProgram::Sample& sample) {
    Registers native = sample.registers;
    native[Register::rflags] = translator::canonical_flags(
        GuestCode(process_.memory()), native[Register::rip], native[Register::rflags]);
    std::string out;
    for (size_t i = 0; i < kRegisterCount; ++i) {
      if (native.values[i] == context_.registers.values[i]) continue;
      char text[96];
      std::snprintf(text, sizeof text, "%s is %llx instead of %llx; ", kRegisterNames[i].data(),
                    static_cast<unsigned long long>(context_.registers.values[i]),
                    static_cast<unsigned long long>(native.values[i]));
      out += text;
    }
    if (!sample.vectors.empty() && sample.vectors != vector_registers(process_.thread()))
      out += "a vector register differs; ";
    if (sample.ticks != context_.ticks) out += "it is another tick; ";
    if (out.empty()) return std::nullopt;
    return where() + out;
  }

  // Runs to the given tick or to the native run's end, and compares there.
  std::optional<std::string> run_to(Ticks ticks) {
    while (true) {
      const uint64_t points = holding_.points ? holding_.points : GuestCpu::kUnlimited;
      const Exit exit =
          resume_ ? (cpu_->resume_here(ticks - context_.ticks, points), cpu_->wait(context_))
                  : cpu_->run(context_, ticks - context_.ticks, points);
      resume_ = false;
      switch (exit.kind) {
        case Exit::Kind::budget:
          if (context_.ticks != ticks) return where() + "too early";
          if (ticks > native_.ticks.size()) return where() + "the native run had ended";
          return compare(native_.ticks[ticks - 1]);
        case Exit::Kind::point:
          // Started anew in front of a point the task would meet it again at once.
          resume_ = holding_.resume_at_points || context_.phase == 0;
          break;
        case Exit::Kind::log_full:
          cpu_->drain_log();
          cpu_->resume_after_log();
          throw std::logic_error("the access log is drained at every tick");
        default:
          if (auto d = serve(exit)) return d;
          if (ended_) return std::nullopt;
      }
      if (holding_.options.log_accesses) cpu_->drain_log();
    }
  }

  std::optional<std::string> stop_at(const SteppedProgram::Sample& sample) {
    while (context_.registers[Register::rip] != sample.registers[Register::rip]) {
      const Exit exit = cpu_->run_exact(context_, {sample.registers[Register::rip], 0});
      if (exit.kind == Exit::Kind::stop) break;
      if (exit.kind == Exit::Kind::budget) return where() + "a place was passed";
      if (auto d = serve(exit)) return d;
      if (ended_) return where() + "ended before a place";
    }
    return compare(sample);
  }

  std::optional<std::string> serve(const Exit& exit) {
    auto& r = context_.registers;
    if (exit.kind == Exit::Kind::special) {
      if (special_ == native_.specials.size()) return where() + "a special instruction too many";
      const Registers& answer = native_.specials[special_++];
      for (const auto reg : {Register::rax, Register::rbx, Register::rcx, Register::rdx,
                             Register::rflags, Register::rip})
        r[reg] = answer[reg];
      show_flags();
      return std::nullopt;
    }
    if (exit.kind != Exit::Kind::syscall)
      return where() + "exit of kind " + std::to_string(static_cast<int>(exit.kind)) + ", signal " +
             std::to_string(exit.info.si_signo);
    if (r[Register::rax] == SYS_exit_group) {
      ended_ = true;
      return std::nullopt;
    }
    if (call_ == native_.calls.size() || native_.calls[call_].number != r[Register::rax])
      return where() + "another system call: " + std::to_string(r[Register::rax]);
    const auto& call = native_.calls[call_++];
    if (call.number == SYS_arch_prctl) {
      r[Register::fs_base] = r[Register::rsi];
    } else if (find(call.number)->replay == Replay::performed || call.number == SYS_openat ||
               call.number == SYS_close) {
      const int64_t got = process_.remote_syscall(
          call.number, {r[Register::rdi], r[Register::rsi], r[Register::rdx], r[Register::r10],
                        r[Register::r8], r[Register::r9]});
      if (got != call.result) return where() + "a system call has another result";
      cache_->invalidate(r[Register::rdi], r[Register::rsi]);
    }
    for (const auto& effect : call.effects) process_.memory().write(effect.address, effect.bytes);
    r[Register::rcx] = r[Register::rip] + 2;
    r[Register::r11] = r[Register::rflags];
    r[Register::rax] = static_cast<uint64_t>(call.result);
    r[Register::rip] += 2;
    show_flags();
    return std::nullopt;
  }

  // What the supervisor moved on by itself is as canonical as what ran.
  void show_flags() {
    auto& r = context_.registers;
    r[Register::rflags] = translator::canonical_flags(GuestCode(process_.memory()),
                                                      r[Register::rip], r[Register::rflags]);
  }

  std::optional<std::string> ending() const {
    if (context_.ticks != native_.ticks.size()) return where() + "ended at another tick";
    if (call_ != native_.calls.size()) return where() + "ended before the last system call";
    if (static_cast<int>(context_.registers[Register::rdi]) != native_.status)
      return where() + "another exit status";
    return std::nullopt;
  }

  const SteppedProgram& native_;
  const Holding& holding_;
  HostProcess process_;
  std::shared_ptr<CodeCache> cache_;
  std::unique_ptr<GuestCpu> cpu_;
  TaskContext context_;
  size_t call_ = 0, special_ = 0;
  bool ended_ = false, resume_ = false;
};

}  // namespace

std::optional<std::string> first_difference(const SteppedProgram& native, const Holding& holding) {
  return TranslatedProgram(native, holding).run();
}

}  // namespace heddle::differential
