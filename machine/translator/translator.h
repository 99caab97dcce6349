// x86-64 in, code-cache bytes out: a pure function from guest code to host code.
//
// In a nutshell: a block of guest instructions, from its entry to the next unconditional transfer
// of control, becomes host code that does the same to registers, flags, memory and stack, and that
//   - counts a tick at every jump taken to an address at or before its own, every call and every
//     indirect jump: no cycle of the control flow is without (see call_ticks, return_ticks),
//   - leaves through an exit (an int3, known by its address) for what the machine must decide.
// Guest registers stay in their own host registers; heddle_hot_state is in rip's reach, gs
// addresses heddle_task_state; the guest's stack holds guest return addresses; nothing is ever
// written below the guest's rsp.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <vector>

#include "trace_format/registers.h"

namespace heddle::translator {

// Reads guest code. Returns how many bytes from `address` on are readable and executable.
class CodeSource {
 public:
  virtual ~CodeSource() = default;
  virtual size_t read(uint64_t address, std::span<uint8_t> out) const = 0;
  // What read gives of the code from `address` on, where it is: perhaps less of it, or nothing.
  // Good as long as the source is.
  virtual std::span<const uint8_t> view(uint64_t address) const {
    (void)address;
    return {};
  }
};

enum class SpecialInstruction : uint16_t { rdtsc, rdtscp, cpuid, rdrand, rdseed, rdpid, xgetbv };

enum class ExitKind : uint8_t {
  link,         // a direct transfer to `pc` that is not linked yet
  budget,       // a counter is used up; the tick is counted, the task is at its target. A jump to
                // the runtime in fast translations, which may go on behind it
  syscall,      // a syscall instruction at `pc`, not executed
  special,      // a SpecialInstruction at `pc`, not executed
  trap,         // int3 or int1 at `pc`, not executed: SIGTRAP is the guest's own
  illegal,      // ud2 or undecodable at `pc`: SIGILL is the guest's own
  unsupported,  // bytes at `pc` that user code may run natively and the translator can not
  unreadable,   // code at `pc` + length cannot be read: an instruction fetch fault
  point,        // an access point at `pc`: phase 0 before the access, phase 1 inside a split one
  hook,         // execution reached the hooked `pc`
  stop,         // execution reached Options::stop
  returned,     // with Options::stop: a return to where r11 says, as its lookup would find it
};

// A register whose guest value is in heddle_hot_state::spill, or in another register of the host.
struct Spill {
  static constexpr uint8_t kHeld = 16;  // slot kHeld + r: in the host's register r

  Register reg;
  uint8_t slot;
  bool operator==(const Spill&) const = default;
};

// At most three at a time.
class Spills {
 public:
  constexpr Spills() = default;
  constexpr Spills(std::initializer_list<Spill> list) {
    for (const auto& spill : list) list_[count_++] = spill;
  }
  const Spill* begin() const { return list_.data(); }
  const Spill* end() const { return list_.data() + count_; }
  bool empty() const { return count_ == 0; }
  // These and one more.
  constexpr Spills with(Spill spill) const {
    Spills more = *this;
    more.list_.at(more.count_++) = spill;
    return more;
  }

 private:
  std::array<Spill, 3> list_{};
  uint8_t count_ = 0;
};

// The registers that indirect transfers need. A spill and a reload at each would put the latency of
// a store and a load between one transfer and the next, so fast translations leave them lent until
// the guest uses one.
inline constexpr Spills kLent{{Register::r10, 1}, {Register::r11, 2}};

// An int3 of the translation, or a jump to the machine's own code (link, and all with
// Options::resident).
struct ExitSite {
  uint32_t offset = 0;  // in Translation::code
  ExitKind kind = ExitKind::link;
  uint64_t pc = 0;     // guest address that the task is at
  uint8_t phase = 0;   // point, stop
  uint8_t length = 0;  // bytes of the instruction at pc (syscall, special, trap, illegal)...
                       // or as many of it as can be read (unreadable)
  SpecialInstruction special = SpecialInstruction::rdtsc;
  Register special_operand = Register::rax;  // rdrand, rdseed, rdpid: destination
  uint8_t special_size = 0;                  // ... and its size in bytes
  Spills spills;
};
// point, hook and stop: every register and flag holds its guest value at the int3 (no spills), and
// executing on from offset + 1 performs the instruction at pc without leaving again at that point.
// For phase 1 the loaded value is in heddle_task_state::split_value.

// A direct transfer. Until it is linked the rel32 at `offset` leads to the link exit at `stub`.
struct Link {
  uint32_t offset = 0;  // of the 4-byte displacement in Translation::code
  uint32_t stub = 0;    // offset of the exit
  uint64_t target = 0;  // guest address
  bool lent = false;    // see Options::lent
  bool loop = false;    // backward over few instructions
};

// An indirect transfer: the target goes to r11, whose guest value is in spill slot 2, r10's is in
// slot 1 (kLent), the low half of the host address of `offset` to heddle_hot_state::transfer, and
// the lookup table leads on.
struct IndirectTransfer {
  uint32_t offset = 0;       // in Translation::code
  uint64_t pc = 0;           // guest address of the instruction
  int32_t stack_change = 0;  // what it has added to rsp by then
};

// Where an indirect transfer arrives: a pad that checks the target, counts the tick and goes on to
// the block's entry, with the registers back unless they stay lent. If the target is another it
// jumps to the host address at `next`, with r11 and the flags as they came.
enum class LandingKind : uint8_t { none, transfer, returns };

struct Landing {
  uint32_t offset = 0;   // of the pad in Translation::code
  uint32_t next = 0;     // of the 8-byte host address
  bool returns = false;  // of LandingKind::returns
};

// Where host code from `offset` on (to the next entry) comes from, for faults.
struct Origin {
  uint32_t offset = 0;
  uint64_t pc = 0;
  Spills spills;
  bool access_log = false;  // a store to the access log: rcx is the host's pointer into it
  // Where not -1: the host's rcx holds the counter at that offset in heddle_hot_state, to be
  // stored: change both or neither.
  int32_t counting = -1;
  uint8_t uncounted = 0;  // ticks that are still to be taken off ticks_left
  uint8_t turns = 0;      // a loop's copies: so many may be taken off that no check looks at
};

// Entry in the middle of a split read-modify-write at pc: the continuation of its phase 1 point.
struct SplitEntry {
  uint64_t pc = 0;
  uint32_t offset = 0;
};

// An instruction of the block that can be entered as the block's first can.
struct InnerEntry {
  uint32_t distance = 0;     // guest bytes from the block's entry
  uint32_t offset : 31 = 0;  // in Translation::code
  uint32_t lent : 1 = 0;
};

// What is translated already.
class KnownEntries {
 public:
  virtual ~KnownEntries() = default;
  virtual bool known(uint64_t pc, bool lent) const = 0;
};

struct Translation {
  uint64_t pc = 0;            // guest entry
  uint32_t entry = 0;         // its offset in the code
  bool lent = false;          // at the entry; see Options::lent
  uint64_t end = 0;           // one past the last guest byte translated
  std::vector<uint8_t> code;  // for the host address it was translated for
  std::vector<ExitSite> exits;
  std::vector<Link> links;
  std::vector<Origin> origins;    // by offset
  std::vector<InnerEntry> inner;  // by distance
  std::vector<SplitEntry> splits;
  std::vector<IndirectTransfer> indirects;  // by offset
  std::optional<Landing> landing;
  uint32_t instructions = 0;
  uint64_t returns_to = 0;  // behind the call that the block ends with; 0: none

  void clear();  // keeps the memory of the lists
};

struct Stop {
  uint64_t pc = 0;
  uint8_t phase = 0;
};

// Which accesses are logged, and what becomes of the others (machine/tracee/line_table.h). Locked
// instructions, whole operations (rep) and accesses of more than a line are logged always.
enum class AccessFilter : uint8_t {
  none,    // all
  owners,  // no other: the table of lines learns who used them
  shared,  // those to lines that the table says
};
// Filters need this of the processor.
bool can_filter_accesses();

struct Options {
  // For speed: the registers of kLent stay lent after an indirect transfer, and a small loop's body
  // is copied several times in a row. Not with points, hooks or a stop; of what is logged the ticks
  // are void.
  bool fast = false;
  bool lent = false;  // fast: the block is entered with them lent; one with a landing pad always is
  // Leave just before executing the instruction at stop->pc (phase 1: split it and leave between
  // its load and its store) wherever it occurs in this block. For exact, throw-away fragments.
  std::optional<Stop> stop;
  // Guest addresses of instructions that get access points: phase 0 before the access, and, for an
  // unlocked read-modify-write, phase 1 between load and store. Not owned; null: none.
  const std::set<uint64_t>* points = nullptr;
  // Guest addresses that get a hook exit before they execute. Not owned; null: none.
  const std::set<uint64_t>* hooks = nullptr;
  // Guest addresses whose execution is logged, among the accesses if these are too, each with the
  // register whose value the entry keeps. Not owned; null: none.
  const std::map<uint64_t, Register>* calls = nullptr;
  // Write a heddle_access_entry before every explicit memory operand's access.
  bool log_accesses = false;
  AccessFilter filter = AccessFilter::none;
  // The same for those of locked instructions only.
  bool log_locked = false;
  // Serve syscall instructions through heddle_task_state::syscall_entry instead of an exit.
  bool runtime_syscalls = false;
  // Leave by setting heddle_resident_state::exit and a jump to exit_entry, where the guest's code
  // runs in the supervisor's own process. Nothing goes on behind such an exit.
  bool resident = false;
  LandingKind landing = LandingKind::none;  // with a landing pad in front
  // A block ends where it comes to one of these. Not owned; null: none.
  const KnownEntries* known = nullptr;
  uint32_t max_instructions = 64;  // per block; 0: the landing pad only
};

// Translates the block at guest address `pc` for execution at `host_base`, best within 2 GiB of
// what its RIP-relative operands name: others go through a spilled register. Never fails for want
// of decodable code: that becomes an exit.
Translation translate(const CodeSource& source, uint64_t pc, uint64_t host_base,
                      const Options& options);
// The same into `out`, whatever it held: for many blocks in a row.
void translate(const CodeSource& source, uint64_t pc, uint64_t host_base, const Options& options,
               Translation& out);

// Does a direct call of `target` tick? Not where an indirect jump is all that is there, which
// ticks.
bool call_ticks(const CodeSource& source, uint64_t target);
// Does a return to `target` tick? Not behind what looks like a call: that one did. (A cycle of
// nothing but returns to such places, which nothing called, has no tick, and no other task or
// signal gets in between.)
bool return_ticks(const CodeSource& source, uint64_t target);

inline constexpr uint64_t kStatusFlags = 0x8d5;  // CF PF AF ZF SF OF in rflags

// The status flags that are written before anything can read them, looking from `pc` along code of
// the same 4 KiB page up to where it may go two ways. Independent of the translation mode.
uint64_t dead_status_flags(const CodeSource& source, uint64_t pc);
// True if that is all of them.
bool status_flags_dead(const CodeSource& source, uint64_t pc);

// rflags as every mode must show it at `pc`: each dead status flag is zero; the trap and resume
// flags are the host's business and zero.
uint64_t canonical_flags(const CodeSource& source, uint64_t pc, uint64_t rflags);

}  // namespace heddle::translator
