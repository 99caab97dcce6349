#include "tests/differential/comparison.h"

#include <array>
#include <cstdio>
#include <random>

#include "machine/tracee/guest_code.h"
#include "machine/translator/operand.h"

namespace heddle::differential {
namespace {

constexpr size_t kStepLimit = 2000;
constexpr size_t kPointsCompared = 60;

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string place(const TaskContext& context) {
  return "at " + hex(context.registers[Register::rip]) + " tick " + std::to_string(context.ticks) +
         " phase " + std::to_string(context.phase) + ": ";
}

std::optional<std::string> compare_registers(const Registers& native, const Registers& translated) {
  std::string out;
  for (size_t i = 0; i < kRegisterCount; ++i)
    if (native.values[i] != translated.values[i])
      out += std::string(kRegisterNames[i]) + " is " + hex(translated.values[i]) + " instead of " +
             hex(native.values[i]) + "; ";
  if (out.empty()) return std::nullopt;
  return out;
}

std::optional<std::string> compare_bytes(const char* what, const std::vector<uint8_t>& native,
                                         const std::vector<uint8_t>& translated) {
  if (native == translated) return std::nullopt;
  for (size_t i = 0; i < native.size(); ++i)
    if (native[i] != translated[i])
      return std::string(what) + " byte 0x" + hex(i) + " is " + hex(translated[i]) +
             " instead of " + hex(native[i]) + "; ";
  return std::string(what) + " differ in size; ";
}

bool address_matters(const siginfo_t& info) {
  return info.si_signo != SIGTRAP;
}

std::string ending(const siginfo_t& info) {
  return "signal " + std::to_string(info.si_signo) + " code " + std::to_string(info.si_code) +
         (address_matters(info) ? " address " + hex(reinterpret_cast<uint64_t>(info.si_addr)) : "");
}

const char* name(Exit::Kind kind) {
  static constexpr const char* kNames[] = {"syscall", "special", "budget",   "fault",  "point",
                                           "hook",    "stop",    "log_full", "signal", "event"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace

Ticks Comparison::budget() const {
  return path_.back().ticks + 2;
}

// An int3 is behind the registers of its stop: its flags are those in front of it.
uint64_t Comparison::shown_flags(uint64_t pc, uint64_t rflags) const {
  const auto& memory = const_cast<Sandbox&>(sandbox_).process().memory();
  return translator::canonical_flags(GuestCode(memory), pc, rflags);
}

std::optional<std::string> Comparison::compare_end(const Exit& exit, const TaskContext& context) {
  return compare_end(exit, context, sandbox_.state(context, exit.info, true));
}

std::optional<std::string> Comparison::compare_end(const Exit& exit, const TaskContext& context,
                                                   const State& state) const {
  if (exit.kind != Exit::Kind::fault)
    return place(context) + "ended by " + name(exit.kind) + " instead of " + ending(end_.signal);
  if (ending(exit.info) != ending(end_.signal))
    return place(context) + "ended by " + ending(exit.info) + " instead of " + ending(end_.signal);
  Registers native = end_.registers;
  native[Register::rflags] =
      shown_flags(path_.back().registers[Register::rip], native[Register::rflags]);
  std::string out;
  if (auto d = compare_registers(native, state.registers)) out += *d;
  if (auto d = compare_bytes("extended state", end_.extended, state.extended)) out += *d;
  auto memory = end_.memory;
  // A call to an address that is not canonical faults before it pushes; here it has pushed.
  if (end_.signal.si_signo == SIGSEGV && end_.signal.si_code == SI_KERNEL) {
    const uint64_t at = native[Register::rsp] - 8 - program_.placement.stack() + kDataSize + kPage;
    for (uint64_t i = at; i < at + 8 && i < memory.size(); ++i) memory[i] = state.memory[i];
  }
  if (auto d = compare_bytes("memory", memory, state.memory)) out += *d;
  if (context.ticks != path_.back().ticks)
    out += std::to_string(context.ticks) + " ticks instead of " +
           std::to_string(path_.back().ticks) + "; ";
  if (out.empty()) return std::nullopt;
  return place(context) + out;
}

std::optional<std::string> Comparison::compare_step(const Step& step,
                                                    const TaskContext& context) const {
  Registers native = step.registers;
  native[Register::rflags] = shown_flags(native[Register::rip], native[Register::rflags]);
  std::string out;
  if (auto d = compare_registers(native, context.registers)) out += *d;
  if (context.ticks != step.ticks) out += "tick " + std::to_string(step.ticks) + " was expected; ";
  if (out.empty()) return std::nullopt;
  return place(context) + out;
}

std::optional<std::string> Comparison::difference(const GuestProgram& program) {
  program_ = program;
  sandbox_.reset(program_);
  auto path = sandbox_.step_native(kStepLimit, &end_);
  if (!path) return std::nullopt;
  path_ = std::move(*path);
  // Natively there is code in the code cache too: the program went where it could not have gone.
  for (const auto& step : path_)
    if (layout::machines_own(step.registers[Register::rip])) return std::nullopt;

  const struct {
    const char* name;
    std::optional<std::string> (Comparison::*run)();
  } modes[] = {{"fast", &Comparison::fast},
               {"exact", &Comparison::exact},
               {"logging", &Comparison::logging},
               {"splitting", &Comparison::splitting}};
  for (const auto& mode : modes) {
    sandbox_.reset(program_);
    std::optional<std::string> found;
    try {
      found = (this->*mode.run)();
    } catch (const std::exception& error) {
      found = std::string("an error: ") + error.what();
    }
    if (found) return std::string(mode.name) + " " + *found;
  }
  return std::nullopt;
}

std::optional<std::string> Comparison::difference_at_end(const GuestProgram& program,
                                                         const std::function<void()>& before) {
  program_ = program;
  sandbox_.reset(program_);
  GuestCpu& cpu = sandbox_.translated_in_turn();
  TaskContext context = sandbox_.context();
  Exit exit;
  try {
    exit = cpu.run(context, kStepLimit);
  } catch (const std::exception& error) {
    return std::string("an error: ") + error.what();
  }
  if (exit.kind == Exit::Kind::budget) return std::nullopt;
  const State state = sandbox_.state(context, exit.info, true);
  sandbox_.reset(program_);
  before();
  end_ = sandbox_.run_native();
  Step last{end_.registers, context.ticks};
  if (end_.signal.si_signo == SIGTRAP) --last.registers[Register::rip];
  path_ = {last};
  return compare_end(exit, context, state);
}

std::optional<std::string> Comparison::fast() {
  // The stepped path is only as good as stepping is: a run without it must end the same.
  const State native = sandbox_.run_native();
  if (auto d = compare_registers(end_.registers, native.registers)) return "stepping: " + *d;
  if (auto d = compare_bytes("memory", end_.memory, native.memory)) return "stepping: " + *d;
  if (auto d = compare_bytes("extended state", end_.extended, native.extended))
    return "stepping: " + *d;
  sandbox_.reset(program_);
  GuestCpu& cpu = sandbox_.translated(fast_translation());
  TaskContext context = sandbox_.context();
  const Exit exit = cpu.run(context, budget());
  return compare_end(exit, context);
}

// To places of the path one after another: by ticks to the nearest tick, then exactly.
std::optional<std::string> Comparison::exact() {
  std::mt19937_64 random(program_.seed + 7);
  GuestCpu& cpu = sandbox_.translated(fast_translation());
  TaskContext context = sandbox_.context();
  for (size_t i = 0; i < path_.size(); i += 1 + random() % 12) {
    const Step& step = path_[i];
    if (step.ticks > context.ticks) {
      const Exit exit = cpu.run(context, step.ticks - context.ticks);
      if (exit.kind != Exit::Kind::budget || context.ticks != step.ticks)
        return place(context) + "instead of tick " + std::to_string(step.ticks) + " came " +
               name(exit.kind);
      size_t first = i;
      while (first > 0 && path_[first - 1].ticks == step.ticks) --first;
      if (auto d = compare_step(path_[first], context)) return d;
    }
    if (step.registers[Register::rip] == context.registers[Register::rip]) continue;
    const Exit exit = cpu.run_exact(context, {step.registers[Register::rip], 0});
    if (exit.kind != Exit::Kind::stop)
      return place(context) + "instead of the stop at " + hex(step.registers[Register::rip]) +
             " came " + name(exit.kind);
    if (auto d = compare_step(step, context)) return d;
  }
  const Exit exit = cpu.run(context, budget());
  return compare_end(exit, context);
}

// Is the instruction one that Generator::special makes?
bool Comparison::gathers(uint64_t pc) {
  std::array<uint8_t, 4> bytes{};
  sandbox_.process().memory().read(pc, bytes);
  return bytes[0] == 0xc4 && bytes[1] == 0xe2 && (bytes[3] & 0xfc) == 0x90;
}

std::optional<std::string> Comparison::logging() {
  translator::Options options;
  options.log_accesses = true;
  GuestCpu& cpu = sandbox_.translated(options);
  TaskContext context = sandbox_.context();
  const Exit exit = cpu.run(context, budget());
  if (auto d = compare_end(exit, context)) return d;

  const auto entries = cpu.drain_log();
  size_t at = 0;
  for (const auto& step : path_) {
    if (step.registers[Register::rip] - program_.placement.code >= kCodeSize)
      break;  // a fetch fault
    // Of a gather the mask decides; the generator's have one index for all elements.
    const uint64_t pc = step.registers[Register::rip];
    for (; gathers(pc) && at < entries.size() && entries[at].pc == pc &&
           entries[at].ticks == step.ticks;
         ++at)
      if (entries[at].address != step.registers[Register::rsi] + 4 * 63)
        return "an element of the gather at " + hex(pc) + " is logged as at " +
               hex(entries[at].address);
    for (const auto& operand :
         translator::memory_operands(GuestCode(sandbox_.process().memory()), step.registers)) {
      const std::string where = "the access at " + hex(step.registers[Register::rip]) + " tick " +
                                std::to_string(step.ticks) + " to " + hex(operand.address);
      if (at == entries.size()) return where + " is missing";
      const auto& e = entries[at++];
      if (e.pc != step.registers[Register::rip] || e.address != operand.address ||
          e.size != operand.size || e.kind != static_cast<uint32_t>(operand.kind) ||
          e.ticks != step.ticks)
        return where + " of " + std::to_string(operand.size) + " bytes is logged as at " +
               hex(e.pc) + " tick " + std::to_string(e.ticks) + " to " + hex(e.address) + " of " +
               std::to_string(e.size) + " bytes";
    }
  }
  if (at != entries.size()) return "an access too many is logged at " + hex(entries[at].pc);
  return std::nullopt;
}

// Every instruction is an access point. The first of them are all left at; the rest run through.
std::optional<std::string> Comparison::splitting() {
  std::set<uint64_t> points;
  for (const auto& step : path_) points.insert(step.registers[Register::rip]);
  translator::Options options;
  options.points = &points;
  std::mt19937_64 random(program_.seed + 9);
  GuestCpu& cpu = sandbox_.translated(options);
  TaskContext context = sandbox_.context();
  Exit exit = cpu.run(context, budget(), 1);
  size_t next = 0;  // the step whose point is expected
  for (size_t count = 0; exit.kind == Exit::Kind::point; ++count) {
    if (context.phase == 1) {
      if (next == 0) return place(context) + "a second phase without a first";
      if (auto d = compare_step(path_[next - 1], context)) return d;
    } else {
      if (next == path_.size()) return place(context) + "a point after the end";
      if (auto d = compare_step(path_[next++], context)) return d;
    }
    const uint64_t skip = count < kPointsCompared ? 0 : uint64_t{1} << 40;
    if (random() % 2 == 0) {
      cpu.resume_here(budget() - context.ticks, 1 + skip);
      exit = cpu.wait(context);
    } else {
      // Started anew in front of a point, the task meets it again.
      exit = cpu.run(context, budget() - context.ticks, (context.phase == 0 ? 2 : 1) + skip);
    }
  }
  return compare_end(exit, context);
}

GuestProgram Comparison::minimised(GuestProgram program) {
  for (size_t chunk = program.items.size() / 2; chunk > 0;) {
    bool smaller = false;
    for (size_t at = 0; at + chunk <= program.items.size();) {
      auto candidate = program.without(at, chunk);
      if (difference(candidate)) {
        program = std::move(candidate);
        smaller = true;
      } else {
        at += chunk;
      }
    }
    if (chunk == 1 && !smaller) break;
    if (chunk > 1) chunk /= 2;
  }
  return program;
}

}  // namespace heddle::differential
