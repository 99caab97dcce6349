// The state of translating one block, shared by the files that emit its parts.
#pragma once

#include <asmjit/x86.h>

#include <string>

#include "machine/guest_memory.h"
#include "machine/runtime/task_state.h"
#include "machine/tracee/layout.h"
#include "machine/translator/decode.h"
#include "machine/translator/outline.h"

namespace heddle::translator {

inline constexpr uint8_t kHlt = 0xf4;  // faults as a branch does whose target is not canonical

class Block {
 public:
  // What comes of it is `out`, which is empty.
  Block(const CodeSource& source, uint64_t pc, uint64_t host_base, const Options& options,
        Translation& out);
  void translate();

  static bool copied(const Instruction& in);  // translates to itself; a conditional branch too

 private:
  using Mem = asmjit::x86::Mem;
  using Gp = asmjit::x86::Gp;

  // block.cpp: the walk over the guest's instructions. Returns false where the block is over.
  bool instruction(const Instruction& in);
  // The same for what an outline says enough of.
  bool instruction(const Outline& in, uint64_t pc);
  void special(const Instruction& in, SpecialInstruction which);
  void cpuid(const Instruction& in);
  void syscall(const Instruction& in);

  // copy.cpp
  void copy(const Instruction& in);
  void copy_far(const Instruction& in, uint64_t address);
  // The address of a RIP-relative operand that no displacement from here reaches.
  bool is_far(uint64_t address) const;  // from rip
  std::optional<uint64_t> far_address(const Instruction& in) const;
  static bool stores_x87_pointers(const Instruction& in);
  void hide_x87_pointers(const Instruction& in);

  // finish.cpp
  std::optional<uint32_t> entry_inside(uint64_t pc, bool lent) const;
  void finish();

  // transfers.cpp: branches, calls, returns and the tick.
  bool transfer(const Instruction& in);  // false: not a transfer of control
  void conditional(uint64_t pc, uint8_t condition, uint64_t target, uint64_t next);
  void counted_branch(const Instruction& in);  // loop, jrcxz and their like
  void push_return_address(uint64_t address);
  void lend(uint64_t pc);  // the registers of kLent, if they are not
  void take_back(uint64_t pc, std::optional<Register> overwritten = std::nullopt);
  void hold_rcx();  // in r11 where that is lent, else in slot 0
  void release_rcx();
  Spills holding_rcx() const;               // what is spilled between the two
  void load_target(const Instruction& in);  // into r11
  void tick_and_link(uint64_t target);
  // Changes no flag and leaves rcx zero where ticks_left is.
  void count_tick(uint64_t pc, const Spills& spills);  // in rcx, which is held
  // Takes `ticks` off ticks_left without looking at it; no flag and no register changes.
  void count_ticks(uint64_t pc, uint8_t ticks);
  void link(uint64_t target);
  void link_if(uint8_t condition, uint64_t target);
  void jump_if(uint8_t condition, const asmjit::Label& label);
  // Goes where r11 says; the transfer has added to rsp.
  void indirect(const Instruction& in, int32_t stack_change, const layout::Range& table);
  void landing();

  // unroll.cpp: a loop that is one block.
  bool may_loop();  // quickly: false where there is no loop_body. Fills outlines_
  std::vector<Instruction> loop_body() const;
  void enter_unrolled(const std::vector<Instruction>& body);
  void unrolled(const std::vector<Instruction>& body);

  // instrument.cpp: access log, access points, splitting.
  void log_accesses(const Instruction& in);
  bool log_gather(const Instruction& in);  // gathers.cpp; false: it is none
  void log_access(const Instruction& in, const OperandAccess& access);
  bool filtered(const OperandAccess& access) const;
  void filter_access(const Instruction& in, const OperandAccess& access);
  void filtered_accesses();
  void line_of(const Instruction& in, const OperandAccess& access);  // its number, into rax
  void log_address(const Instruction& in, const OperandAccess& access, const Spills& spills);
  void log_call(uint64_t pc, Register argument);
  void log_entry(uint64_t pc, const Spills& spills);
  void load_address(const Instruction& in, const OperandAccess& access);  // into rax
  void point(uint64_t pc, uint8_t phase);
  bool splittable(const Instruction& in) const;
  bool split(const Instruction& in, bool with_point, bool with_stop);
  // A register that the instruction has nothing to do with; with a low byte that needs no prefix.
  std::optional<Register> scratch_for(const Instruction& in, bool low_byte = true) const;

  // extended_state_saves.cpp
  static bool saves_extended_state(const Instruction& in);
  void save_extended_state(const Instruction& in);

  // emit.cpp
  static Mem state(uint32_t offset, uint32_t size = 8);
  // An instruction with a rip-relative operand in the hot state; `immediate` bytes follow it.
  void hot(std::initializer_list<uint8_t> opcode, uint8_t reg, uint32_t field,
           uint32_t immediate = 0);
  void hot_load(Register reg, uint32_t field);
  void hot_store(Register reg, uint32_t field);
  void tick(uint8_t ticks);     // sub ticks_left, ticks
  uint32_t ticks_left() const;  // the field of the counter for the instruction at at_
  static Gp gp(Register reg, uint32_t size = 8);
  Mem memory(const Instruction& in, unsigned operand, bool with_segment) const;
  void spill(Register reg, uint8_t slot);
  void unspill(Register reg, uint8_t slot);
  void origin(uint64_t pc) { origin(pc, spills()); }
  void origin(uint64_t pc, Spills spills, bool access_log = false);
  Spills spills() const { return lent_ ? kLent : Spills(); }
  ExitSite& exit(ExitKind kind, uint64_t pc);  // emits the int3
  void link_exit(uint64_t pc);
  void budget_exit(uint64_t pc, const Spills& spills);  // fast: what follows goes on after it
  void store_address(uint32_t state_offset, const asmjit::Label& label);
  void store_constant(uint32_t state_offset, uint64_t value);
  uint32_t offset() const { return static_cast<uint32_t>(a_.offset()); }
  void bytes(std::initializer_list<uint8_t> code);
  void constant_operand(uint64_t value);  // the disp32 of a rip-relative operand: the constant's
  void check(asmjit::Error error, const char* what) const;

  struct PendingLink {
    uint32_t offset;
    uint64_t target;
    bool lent;
    uint64_t from;  // guest address of the transfer
  };
  struct AddressField {  // a 64-bit host address stored as two immediates
    uint32_t low, high;  // offsets of the 4-byte immediates
    asmjit::Label label;
  };

  struct Jump {
    uint32_t field;  // offset of its rel32
    asmjit::Label label;
  };
  struct Constant {
    uint32_t field;  // offset of the disp32 that leads to it, the last bytes of its instruction
    uint64_t value;
  };

  struct Filtered {  // an access that its line's entry does not settle
    asmjit::Label begin, end;
    Instruction in;
    OperandAccess access;
  };

  struct Inside {  // a link that leads into the block itself
    uint32_t field, to;
  };

  // One for all blocks of a thread: to make it costs more than a block.
  struct Workshop {
    asmjit::CodeHolder code;
    asmjit::x86::Assembler assembler;
    // The block's first instructions, as far as may_loop has looked.
    std::array<Outline, 24> outlines;
    std::vector<PendingLink> links;
    std::vector<Filtered> filtered;
    std::vector<AddressField> addresses;
    std::vector<Constant> constants;
    std::vector<Jump> jumps;
    std::vector<Inside> inside;
    std::vector<uint32_t> places;  // of the constants
  };
  static Workshop& workshop();  // with empty lists

  const CodeSource& source_;
  const uint64_t pc_;
  const uint64_t host_base_;
  const Options& options_;
  Workshop& workshop_;
  asmjit::CodeHolder& code_;
  asmjit::x86::Assembler& a_;
  Translation& t_;
  uint64_t at_ = 0;    // the instruction that is translated
  bool lent_ = false;  // the registers of kLent, here
  size_t outlined_ = 0;
  std::array<Outline, 24>& outlines_;
  std::vector<PendingLink>& links_;
  std::vector<Filtered>& filtered_;
  std::vector<AddressField>& addresses_;
  std::vector<Constant>& constants_;
  std::vector<Jump>& jumps_;
  asmjit::Label plain_, unrolled_;  // of a loop that is one block: its two forms
};

}  // namespace heddle::translator
