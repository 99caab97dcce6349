#include "machine/translator/outline.h"

#include <gtest/gtest.h>
#include <link.h>

#include <cstring>
#include <random>

#include "machine/translator/block.h"

namespace heddle::translator {
namespace {

using Kind = Outline::Kind;

bool uses_lent(const Instruction& in) {
  const auto lent = [](ZydisRegister reg) {
    const auto number = general_register(reg);
    return number == Register::r10 || number == Register::r11;
  };
  for (unsigned i = 0; i < in.info.operand_count; ++i) {
    const auto& op = in.operands[i];
    if (op.type == ZYDIS_OPERAND_TYPE_REGISTER && lent(op.reg.value)) return true;
    if (op.type == ZYDIS_OPERAND_TYPE_MEMORY && (lent(op.mem.base) || lent(op.mem.index)))
      return true;
  }
  return false;
}

unsigned displacement(const Instruction& in) {
  for (unsigned i = 0; i < in.info.operand_count; ++i)
    if (in.operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
        in.operands[i].mem.base == ZYDIS_REGISTER_RIP)
      return in.info.raw.disp.offset;
  return 0;
}

// What the outline at `pc` says is what Zydis says.
void compare(const CodeSource& source, uint64_t pc) {
  const auto in = decode(source, pc);
  const auto out = outline(source, pc);
  ASSERT_EQ(in.has_value(), out.has_value()) << std::hex << pc;
  if (!in) return;
  const auto text = bytes_text(*in);
  ASSERT_EQ(in->info.length, out->length) << text;
  const bool conditional = in->info.meta.category == ZYDIS_CATEGORY_COND_BR;
  switch (out->kind) {
    case Kind::copied:
      ASSERT_TRUE(Block::copied(*in) && !conditional) << text;
      ASSERT_EQ(out->flags, flag_effect(*in)) << text;
      ASSERT_EQ(out->uses_lent, uses_lent(*in)) << text;
      ASSERT_EQ(out->displacement, displacement(*in)) << text;
      ASSERT_TRUE(
          std::equal(in->bytes.begin(), in->bytes.begin() + out->length, out->bytes.begin()))
          << text;
      break;
    case Kind::conditional:
      ASSERT_TRUE(conditional && Block::copied(*in)) << text;
      ASSERT_EQ(out->target, direct_target(*in)) << text;
      ASSERT_EQ(out->condition, in->info.opcode & 15) << text;
      break;
    case Kind::jump:
      ASSERT_EQ(in->info.mnemonic, ZYDIS_MNEMONIC_JMP) << text;
      ASSERT_EQ(out->target, direct_target(*in)) << text;
      break;
    case Kind::call:
      ASSERT_EQ(in->info.mnemonic, ZYDIS_MNEMONIC_CALL) << text;
      ASSERT_EQ(out->target, direct_target(*in)) << text;
      break;
    case Kind::other:
      ASSERT_FALSE(Block::copied(*in)) << text;
      break;
    case Kind::unknown:
      break;
  }
}

class Memory final : public CodeSource {
 public:
  explicit Memory(std::span<const uint8_t> bytes, uint64_t address)
      : bytes_(bytes), address_(address) {}
  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    if (address - address_ >= bytes_.size()) return 0;
    const auto from = bytes_.subspan(address - address_);
    const size_t n = std::min(from.size(), out.size());
    std::copy_n(from.begin(), n, out.begin());
    return n;
  }

 private:
  std::span<const uint8_t> bytes_;
  uint64_t address_;
};

std::span<const uint8_t> text_of_libc() {
  std::span<const uint8_t> text;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        if (!std::strstr(info->dlpi_name, "/libc.so")) return 0;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD || !(segment.p_flags & PF_X)) continue;
          *static_cast<std::span<const uint8_t>*>(out) = {
              reinterpret_cast<const uint8_t*>(info->dlpi_addr + segment.p_vaddr), segment.p_memsz};
        }
        return 1;
      },
      &text);
  return text;
}

TEST(Outline, SaysOfLibcWhatZydisSays) {
  const auto text = text_of_libc();
  ASSERT_FALSE(text.empty());
  const auto start = reinterpret_cast<uint64_t>(text.data());
  const Memory source(text, start);
  size_t all = 0, unknown = 0;
  for (uint64_t pc = start; pc < start + text.size();) {
    ASSERT_NO_FATAL_FAILURE(compare(source, pc));
    const auto out = outline(source, pc);
    pc += out ? out->length : 1;
    ++all;
    unknown += !out || out->kind == Kind::unknown;
  }
  EXPECT_LT(unknown * 10, all);
}

// Most of these are no compiler's; of prefixes and the larger maps there are more than chance has.
TEST(Outline, SaysOfRandomBytesWhatZydisSays) {
  std::mt19937_64 random(1);
  constexpr uint8_t kStarts[] = {0x0f, 0x66, 0xf2, 0xf3, 0xf0, 0x64, 0x48, 0x41, 0x44, 0xc4, 0xc5};
  std::array<uint8_t, 32> bytes;
  for (int round = 0; round < 400'000; ++round) {
    for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
    const auto starts = random() % 4;
    for (size_t i = 0; i < starts; ++i) bytes[i] = kStarts[random() % std::size(kStarts)];
    if (starts != 0 && bytes[starts - 1] == 0x0f && random() % 4 == 0)
      bytes[starts] = random() % 2 ? 0x38 : 0x3a;
    // Cut off at times.
    const size_t size = random() % 4 != 0 ? bytes.size() : random() % 16;
    const Memory source({bytes.data(), size}, 0x1000);
    ASSERT_NO_FATAL_FAILURE(compare(source, 0x1000));
  }
}

}  // namespace
}  // namespace heddle::translator
