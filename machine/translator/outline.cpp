#include "machine/translator/outline.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "machine/translator/block.h"

namespace heddle::translator {
namespace {

constexpr size_t kLongest = 15;  // bytes of an instruction
constexpr size_t kRead = 32;     // bytes: what is looked at of one that is cut off, and more

// What all instructions with the same key have in common.
struct Form {
  uint32_t key = 0;  // 0: this place of the table is free
  FlagEffect flags;
  uint8_t tail = 0;  // bytes behind the displacement: immediates
  bool copied : 1 = false;
  bool reg : 1 = false, rm : 1 = false;  // that field of the ModRM byte names a general register
  bool vvvv : 1 = false;                 // so does that one of a VEX prefix
  bool opcode : 1 = false;               // so do the low bits of the opcode
};
static_assert(sizeof(Form) <= 12);

// Open addressing; a form is never taken out.
class Forms {
 public:
  Form* find(uint32_t key) {
    for (size_t at = key * 0x9e37'79b1u >> 20;; at = (at + 1) % kSize)
      if (places_[at].key == key || places_[at].key == 0) return &places_[at];
  }
  bool full() const { return used_ >= kSize / 2; }
  void add(Form* place, const Form& form) {
    *place = form;
    ++used_;
  }

 private:
  static constexpr size_t kSize = 1 << 12;
  std::vector<Form> places_ = std::vector<Form>(kSize);
  size_t used_ = 0;
};

Forms& forms() {
  static thread_local Forms instance;
  return instance;
}

// Opcodes of the one-byte map that have a ModRM byte: a row for each high half.
constexpr std::array<uint16_t, 16> kModrm{
    0x0f0f, 0x0f0f, 0x0f0f, 0x0f0f, 0, 0, 0x0a08, 0, 0xffff, 0, 0, 0, 0x00c3, 0x000f, 0, 0xc0c0};
// Of the map of 0f.
constexpr std::array<uint16_t, 16> kModrm0f{0,      0xffff, 0xffff, 0,      0xffff, 0xffff,
                                            0xffff, 0xff7f, 0,      0xffff, 0xf8f8, 0xffff,
                                            0x00ff, 0xffff, 0xffff, 0xffff};

bool has(const std::array<uint16_t, 16>& map, uint8_t opcode) {
  return map[opcode >> 4] >> (opcode & 15) & 1;
}

// Opcodes whose meaning depends on more than the key, or that are other instructions' prefixes.
bool irregular(uint8_t map, uint8_t opcode, bool rex) {
  if (map == 0) {
    if ((opcode & 0xf0) == 0x40) return true;           // REX, once more
    if (opcode >= 0xd8 && opcode <= 0xdf) return true;  // x87
    // Prefixes behind REX, which is then none.
    if ((opcode & 0xe7) == 0x26 || (opcode >= 0x64 && opcode <= 0x67)) return true;
    if (opcode == 0xf0 || opcode == 0xf2 || opcode == 0xf3) return true;
    if ((opcode & 0xf0) == 0x70 || (opcode >= 0xe0 && opcode <= 0xeb)) return true;  // branches
    if (opcode == 0xcd) return true;  // an interrupt: which one says whether it is refused
    return opcode == 0x62 || opcode == 0x8f || opcode == 0x9b || (opcode == 0x90 && rex);
  }
  if (map != 1) return false;
  return opcode <= 0x0f || (opcode & 0xf0) == 0x80 ||
         (opcode >= 0x18 && opcode <= 0x27 && opcode != 0x1f) || opcode == 0xa6 || opcode == 0xa7 ||
         opcode == 0xae || opcode == 0xc7;
}

bool is_lent(unsigned reg) {
  for (const auto& [lent, slot] : kLent)
    if (reg == static_cast<unsigned>(lent)) return true;
  return false;
}

struct Prefixes {
  size_t length = 0;
  bool operand = false, f2 = false, f3 = false, lock = false, fs = false;
  uint8_t rex = 0;
  bool legacy() const { return operand || f2 || f3 || lock || fs; }
};

// Nothing where a prefix is repeated or rare.
std::optional<Prefixes> prefixes(const uint8_t* bytes) {
  Prefixes p;
  const auto once = [](bool& seen) { return !std::exchange(seen, true); };
  for (; p.length < 5; ++p.length) {
    bool regular = true;
    switch (bytes[p.length]) {
      case 0x66:
        regular = once(p.operand);
        break;
      case 0xf2:
        regular = once(p.f2);
        break;
      case 0xf3:
        regular = once(p.f3);
        break;
      case 0xf0:
        regular = once(p.lock);
        break;
      case 0x64:
        regular = once(p.fs);
        break;
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
      case 0x65:
      case 0x67:
        return std::nullopt;
      default:
        if ((bytes[p.length] & 0xf0) == 0x40) p.rex = bytes[p.length++];
        if (p.f2 && p.f3) return std::nullopt;
        return p;
    }
    if (!regular) return std::nullopt;
  }
  return std::nullopt;
}

// Where the parts of an instruction are, and its key.
struct Parts {
  uint32_t key = 0;
  uint8_t opcode = 0;
  uint8_t low = 0;  // the register in the opcode's low bits
  uint8_t reg = 0, rm = 0, vvvv = 0;
  uint8_t base = 0xff, index = 0xff;  // 0xff: none
  bool in_memory = false;
  uint8_t displacement = 0;  // offset of one that is relative to rip
  uint8_t end = 0;           // of what comes before the immediates
};

// Nothing for what has to be decoded in full. `size` bytes are there; more may be read.
std::optional<Parts> parts(const uint8_t* bytes, size_t size) {
  const auto prefix = prefixes(bytes);
  if (!prefix) return std::nullopt;
  size_t at = prefix->length;
  uint8_t map = 0, rex = prefix->rex, pp = 0;
  bool vex = false, wide = rex & 8, long_vector = false, no_source = false;
  Parts out;
  if (bytes[at] == 0x0f) {
    ++at;
    map = bytes[at] == 0x38 ? 2 : bytes[at] == 0x3a ? 3 : 1;
    if (map != 1) ++at;
  } else if (bytes[at] == 0xc4 || bytes[at] == 0xc5) {
    if (prefix->legacy() || rex != 0) return std::nullopt;
    vex = true;
    const bool three = bytes[at] == 0xc4;
    const uint8_t first = bytes[at + 1], last = bytes[at + 1 + three];
    map = three ? first & 31 : 1;
    if (map < 1 || map > 3) return std::nullopt;
    rex = static_cast<uint8_t>(~first >> 5 & (three ? 7 : 4));
    wide = three && last & 0x80;
    long_vector = last & 4;
    pp = last & 3;
    out.vvvv = ~last >> 3 & 15;
    no_source = out.vvvv == 0;
    at += 2 + three;
  }
  out.opcode = bytes[at];
  if (!vex && irregular(map, out.opcode, rex != 0)) return std::nullopt;
  ++at;
  out.low = static_cast<uint8_t>((out.opcode & 7) | (rex & 1) << 3);
  uint8_t field = 0;
  const bool modrm = map == 0   ? has(kModrm, out.opcode)
                     : map == 1 ? vex ? out.opcode != 0x77 : has(kModrm0f, out.opcode)
                                : true;
  if (modrm) {
    const uint8_t byte = bytes[at++];
    const uint8_t mode = byte >> 6, low = byte & 7;
    field = byte >> 3 & 7;
    // xabort and xbegin are one of those that the key stands for.
    if (map == 0 && (out.opcode | 1) == 0xc7 && field != 0) return std::nullopt;
    out.reg = static_cast<uint8_t>(field | (rex & 4) << 1);
    out.rm = static_cast<uint8_t>(low | (rex & 1) << 3);
    out.in_memory = mode != 3;
    uint8_t displacement = mode == 1 ? 1 : mode == 2 ? 4 : 0;
    if (out.in_memory && low == 4) {
      const uint8_t sib = bytes[at++];
      const auto index = static_cast<uint8_t>((sib >> 3 & 7) | (rex & 2) << 2);
      if (index != 4) out.index = index;
      if (mode == 0 && (sib & 7) == 5)
        displacement = 4;
      else
        out.base = static_cast<uint8_t>((sib & 7) | (rex & 1) << 3);
    } else if (out.in_memory && mode == 0 && low == 5) {
      displacement = 4;
      out.displacement = static_cast<uint8_t>(at);
    } else if (out.in_memory) {
      out.base = out.rm;
    }
    at += displacement;
  }
  if (at > size) return std::nullopt;
  out.end = static_cast<uint8_t>(at);
  const auto bit = [](bool set, unsigned place) { return uint32_t{set} << place; };
  out.key = bit(true, 25) |  // never 0
            bit(prefix->operand, 24) | bit(prefix->f2, 23) | bit(prefix->f3, 22) |
            bit(prefix->lock, 21) | bit(prefix->fs, 20) | bit(wide, 19) | bit(long_vector, 18) |
            bit(no_source, 17) | bit(vex, 16) | uint32_t{pp} << 14 | bit(out.in_memory, 13) |
            uint32_t{map} << 11 | uint32_t{field} << 8 | out.opcode;
  return out;
}

bool learn(const Instruction& in, const Parts& parts, Form& form) {
  if (in.info.length < parts.end || in.info.meta.category == ZYDIS_CATEGORY_GATHER) return false;
  form.key = parts.key;
  form.tail = static_cast<uint8_t>(in.info.length - parts.end);
  form.copied = Block::copied(in) && in.info.meta.category != ZYDIS_CATEGORY_COND_BR;
  form.flags = flag_effect(in);
  for (unsigned i = 0; i < in.info.operand_count; ++i) {
    const auto& op = in.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
    // Which of these exist, and in which combinations, is more than the key says.
    const auto kind = ZydisRegisterGetClass(op.reg.value);
    if (kind == ZYDIS_REGCLASS_MASK || kind == ZYDIS_REGCLASS_TMM || kind == ZYDIS_REGCLASS_BOUND ||
        kind == ZYDIS_REGCLASS_SEGMENT)
      return false;
    if (!general_register(op.reg.value)) continue;
    form.reg = form.reg || op.encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG;
    form.rm = form.rm || op.encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM;
    form.vvvv = form.vvvv || op.encoding == ZYDIS_OPERAND_ENCODING_NDSNDD;
    form.opcode = form.opcode || op.encoding == ZYDIS_OPERAND_ENCODING_OPCODE;
  }
  return true;
}

bool uses_lent(const Form& form, const Parts& parts) {
  return (form.reg && is_lent(parts.reg)) || (form.rm && is_lent(parts.rm)) ||
         (form.vvvv && is_lent(parts.vvvv)) || (form.opcode && is_lent(parts.low)) ||
         (parts.in_memory && (is_lent(parts.base) || is_lent(parts.index)));
}

// A direct near branch without prefixes: nothing where it is something else.
std::optional<Outline> branch(const uint8_t* bytes, size_t size, uint64_t pc) {
  using Kind = Outline::Kind;
  Outline out;
  const uint8_t first = bytes[0], second = bytes[1];
  if (first == 0xe8 || first == 0xe9) {
    out.kind = first == 0xe8 ? Kind::call : Kind::jump;
    out.length = 5;
  } else if (first == 0xeb) {
    out.kind = Kind::jump;
    out.length = 2;
  } else if ((first & 0xf0) == 0x70) {
    out.kind = Kind::conditional;
    out.condition = first & 15;
    out.length = 2;
  } else if (first == 0x0f && (second & 0xf0) == 0x80) {
    out.kind = Kind::conditional;
    out.condition = second & 15;
    out.length = 6;
  } else {
    return std::nullopt;
  }
  if (out.length > size) return std::nullopt;
  // Sign-extended, from a byte or from four.
  int32_t distance = (bytes[1] ^ 0x80) - 0x80;
  if (out.length != 2) std::memcpy(&distance, bytes + out.length - 4, sizeof distance);
  out.target = pc + out.length + static_cast<uint64_t>(int64_t{distance});
  return out;
}

std::optional<Outline> in_full(const CodeSource& source, uint64_t pc) {
  const auto in = decode(source, pc);
  if (!in) return std::nullopt;
  Outline out;
  out.length = in->info.length;
  out.bytes = in->bytes;
  return out;
}

}  // namespace

std::optional<Outline> regular_outline(const CodeSource& source, uint64_t pc) {
  std::array<uint8_t, kRead> copy;
  const uint8_t* bytes = copy.data();
  size_t size = kLongest;
  if (const auto view = source.view(pc); view.size() >= kRead) {
    bytes = view.data();
  } else {
    copy = {};
    size = source.read(pc, std::span(copy).first(kLongest));
    if (size == 0) return std::nullopt;
  }
  if (auto out = branch(bytes, size, pc)) {
    std::copy_n(bytes, 16, out->bytes.begin());
    return out;
  }
  const auto found = parts(bytes, size);
  if (!found) return std::nullopt;
  Form* form = forms().find(found->key);
  if (form->key == 0) {
    const auto in = decode(source, pc);
    if (!in) return std::nullopt;
    Form fresh;
    if (forms().full() || !learn(*in, *found, fresh)) return std::nullopt;
    forms().add(form, fresh);
  }
  Outline out;
  const size_t length = size_t{found->end} + form->tail;
  if (length > size) return std::nullopt;
  out.length = static_cast<uint8_t>(length);
  std::copy_n(bytes, 16, out.bytes.begin());
  out.kind = form->copied ? Outline::Kind::copied : Outline::Kind::other;
  out.displacement = found->displacement;
  out.uses_lent = uses_lent(*form, *found);
  out.flags = form->flags;
  return out;
}

std::optional<Outline> outline(const CodeSource& source, uint64_t pc) {
  const auto regular = regular_outline(source, pc);
  return regular ? regular : in_full(source, pc);
}

}  // namespace heddle::translator
