#include "machine/stacks/call_frames.h"

#include <libunwind-x86_64.h>

#include <array>
#include <cstring>
#include <limits>
#include <new>

#include "machine/stacks/loaded_module.h"

// Exported by libunwind for programs that find unwind tables by themselves; declared in none of its
// public headers (its own is include/dwarf.h).
extern "C" int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t, unw_word_t, unw_dyn_info_t*,
                                                  unw_proc_info_t*, int, void*);

namespace heddle {
namespace {

// libunwind's numbers are DWARF's (System V ABI for x86-64, figure 3.36).
constexpr std::array kByDwarfNumber = {
    Register::rax, Register::rdx, Register::rcx, Register::rbx, Register::rsi, Register::rdi,
    Register::rbp, Register::rsp, Register::r8,  Register::r9,  Register::r10, Register::r11,
    Register::r12, Register::r13, Register::r14, Register::r15, Register::rip};

// An address that no guest can have, from which on libunwind reads a table of ours: one entry of a
// search table, and then .debug_frame.
constexpr uint64_t kOurs = 0xffff'f000'0000'0000;

// An entry of .eh_frame_hdr's table: both count from the address of that section.
struct SearchEntry {
  int32_t location = 0;
  int32_t fde = 0;
};

constexpr size_t kHeaderSize = 12;  // of .eh_frame_hdr with the encodings below

// .eh_frame_hdr (LSB Core, section 10.6.2): version 1; a 4-byte address of .eh_frame of any kind;
// a 4-byte count; a table of 4-byte offsets from the section's address (DW_EH_PE_datarel).
std::optional<uint32_t> entries_of(const TableBytes& header) {
  const auto encodings = header.get<std::array<uint8_t, 4>>(0);
  if (!encodings || (*encodings)[0] != 1 || ((*encodings)[1] & 0x07) != 3 ||
      (*encodings)[2] != 0x03 || (*encodings)[3] != 0x3b)
    return std::nullopt;
  return header.get<uint32_t>(8);
}

}  // namespace

// What one step gives libunwind, and what its callbacks do.
struct CallFrames::Access {
  const CallFrames& frames;
  const GuestMemory& memory;
  const Registers& registers;
  const DebugFrameTable* table = nullptr;
  SearchEntry entry{};
  bool described = false;  // information for the code was found

  int find(unw_addr_space_t space, uint64_t pc, unw_proc_info_t* info, int need);
  bool read_ours(uint64_t offset, std::span<uint8_t> out) const;

  static Access& of(void* argument) { return *static_cast<Access*>(argument); }

  static int find_proc_info(unw_addr_space_t space, unw_word_t pc, unw_proc_info_t* info, int need,
                            void* argument) {
    return of(argument).find(space, pc, info, need);
  }
  static void put_unwind_info(unw_addr_space_t, unw_proc_info_t*, void*) {}
  static int get_dyn_info_list_addr(unw_addr_space_t, unw_word_t*, void*) { return -UNW_ENOINFO; }
  static int access_mem(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write,
                        void* argument) {
    if (write) return -UNW_EINVAL;
    *value = 0;
    const std::span<uint8_t> out(reinterpret_cast<uint8_t*>(value), sizeof *value);
    const Access& access = of(argument);
    if (address >= kOurs) return access.read_ours(address - kOurs, out) ? 0 : -UNW_EINVAL;
    return access.memory.read(address, out) == out.size() ? 0 : -UNW_EINVAL;
  }
  static int access_reg(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write,
                        void* argument) {
    if (write || number < 0 || static_cast<size_t>(number) >= kByDwarfNumber.size())
      return -UNW_EBADREG;
    *value = of(argument).registers[kByDwarfNumber[static_cast<size_t>(number)]];
    return 0;
  }
  static int access_fpreg(unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) {
    return -UNW_EBADREG;
  }
  static int resume(unw_addr_space_t, unw_cursor_t*, void*) { return -UNW_EINVAL; }
  static int get_proc_name(unw_addr_space_t, unw_word_t, char*, size_t, unw_word_t*, void*) {
    return -UNW_ENOINFO;
  }
};

int CallFrames::Access::find(unw_addr_space_t space, uint64_t pc, unw_proc_info_t* info, int need) {
  const LoadedModule* module = frames.symbols_.module(pc);
  if (!module) return -UNW_ENOINFO;
  unw_dyn_info_t search{};
  search.start_ip = module->image().start();
  search.end_ip = module->image().end();
  search.format = UNW_INFO_FORMAT_REMOTE_TABLE;
  const auto look = [&](uint64_t base, uint64_t entries, uint64_t count) {
    search.u.rti.segbase = base;
    search.u.rti.table_data = entries;
    search.u.rti.table_len = count * sizeof(SearchEntry) / sizeof(unw_word_t);
    const int result = _Ux86_64_dwarf_search_unwind_table(space, pc, &search, info, need, this);
    described = described || result == 0;
    return result;
  };
  if (const auto header = module->image().eh_frame_header())
    if (const auto count = entries_of(header->contents))
      if (look(header->address, header->address + kHeaderSize, *count) == 0) return 0;

  table = &frames.debug_frame(*module);
  const auto fde = table->find(pc);
  if (!fde || *fde > std::numeric_limits<int32_t>::max() - sizeof entry) return -UNW_ENOINFO;
  entry = {std::numeric_limits<int32_t>::min(), static_cast<int32_t>(*fde + sizeof entry)};
  return look(kOurs, kOurs, 1);
}

bool CallFrames::Access::read_ours(uint64_t offset, std::span<uint8_t> out) const {
  if (!table) return false;
  for (size_t i = 0; i < out.size(); ++i, ++offset) {
    uint8_t byte = 0;
    if (offset < sizeof entry)
      byte = reinterpret_cast<const uint8_t*>(&entry)[offset];
    else if (offset - sizeof entry < table->bytes().size())
      byte = table->bytes()[offset - sizeof entry];
    out[i] = byte;
  }
  return true;
}

CallFrames::CallFrames(const Symbols& symbols) : symbols_(symbols) {
  static unw_accessors_t accessors{};
  accessors.find_proc_info = Access::find_proc_info;
  accessors.put_unwind_info = Access::put_unwind_info;
  accessors.get_dyn_info_list_addr = Access::get_dyn_info_list_addr;
  accessors.access_mem = Access::access_mem;
  accessors.access_reg = Access::access_reg;
  accessors.access_fpreg = Access::access_fpreg;
  accessors.resume = Access::resume;
  accessors.get_proc_name = Access::get_proc_name;
  const unw_addr_space_t space = unw_create_addr_space(&accessors, 0);
  if (!space) throw std::bad_alloc();
  unw_set_caching_policy(space, UNW_CACHE_NONE);
  space_ = space;
}

CallFrames::~CallFrames() {
  unw_destroy_addr_space(static_cast<unw_addr_space_t>(space_));
}

const DebugFrameTable& CallFrames::debug_frame(const LoadedModule& module) const {
  auto& table = debug_frames_[&module];
  if (!table) table = std::make_unique<DebugFrameTable>(module.image());
  return *table;
}

CallFrames::Step CallFrames::step(const GuestMemory& memory, StackPosition& position) const {
  Registers start = position.registers;
  start[Register::rip] = position.code();
  Access access{*this, memory, start};
  unw_cursor_t cursor;
  if (unw_init_remote(&cursor, static_cast<unw_addr_space_t>(space_), &access) != 0)
    return Step::unknown;
  const int result = unw_step(&cursor);
  // Without information libunwind guesses, and does not say so.
  if (!access.described || result < 0) return Step::unknown;
  if (result == 0) return Step::outermost;
  Registers caller = position.registers;
  for (const auto number : {UNW_X86_64_RIP, UNW_X86_64_RSP, UNW_X86_64_RBP, UNW_X86_64_RBX,
                            UNW_X86_64_R12, UNW_X86_64_R13, UNW_X86_64_R14, UNW_X86_64_R15}) {
    unw_word_t value = 0;
    const bool needed = number == UNW_X86_64_RIP || number == UNW_X86_64_RSP;
    if (unw_get_reg(&cursor, number, &value) == 0)
      caller[kByDwarfNumber[static_cast<size_t>(number)]] = value;
    else if (needed)
      return Step::unknown;
  }
  if (caller[Register::rip] == 0) return Step::outermost;
  if (caller[Register::rsp] <= position.sp()) return Step::unknown;
  position.registers = caller;
  position.after_call = true;
  return Step::stepped;
}

}  // namespace heddle
