// Loops of one small block: copies of the body in a row, so that a turn costs no tick of its own.
//
// The plain form counts each turn. The copies are entered where there are ticks left for all of
// them, and take their ticks off when the last one ends or the loop is left; the count is the same
// at every place that can be seen. All of it counts in the counter of the branch: one that is not
// looked at could go far below 0.
#include <algorithm>
#include <map>

#include "machine/translator/block.h"

namespace heddle::translator {

using namespace asmjit;

namespace {

constexpr size_t kLongest = 24;  // instructions of a body; the tick is lost in a longer one
constexpr size_t kCopied = 72;   // instructions of all copies together, about
constexpr uint8_t kMostCopies = 16;

uint8_t copies(size_t length) {
  return static_cast<uint8_t>(std::min<size_t>(kMostCopies, kCopied / length));
}

bool conditional_branch(const Instruction& in) {
  return in.info.meta.category == ZYDIS_CATEGORY_COND_BR &&
         in.info.mnemonic != ZYDIS_MNEMONIC_JRCXZ && in.info.mnemonic != ZYDIS_MNEMONIC_JECXZ &&
         in.info.mnemonic != ZYDIS_MNEMONIC_LOOP && in.info.mnemonic != ZYDIS_MNEMONIC_LOOPE &&
         in.info.mnemonic != ZYDIS_MNEMONIC_LOOPNE;
}

}  // namespace

bool Block::may_loop() {
  uint64_t pc = pc_;
  static_assert(kLongest <= std::tuple_size_v<decltype(Workshop::outlines)>);
  for (size_t i = 0; i < kLongest; ++i) {
    const auto in = outline(source_, pc);
    if (!in) return false;
    outlines_[outlined_++] = *in;
    switch (in->kind) {
      case Outline::Kind::copied:
      case Outline::Kind::unknown:
        break;
      case Outline::Kind::conditional:
        if (in->target <= pc) return in->target == pc_;
        break;
      default:
        return false;
    }
    pc += in->length;
  }
  return false;
}

// The instructions from the block's entry to a branch back to it; none where there is more to them
// than copying.
std::vector<Instruction> Block::loop_body() const {
  std::vector<Instruction> body;
  uint64_t pc = pc_;
  while (body.size() < kLongest) {
    const auto in = decode(source_, pc);
    if (!in || !copied(*in) || far_address(*in)) return {};
    if (options_.calls && options_.calls->contains(pc)) return {};
    if (options_.log_accesses || options_.log_locked)
      for (const auto& access : accesses(*in))
        if (options_.log_accesses || access.locked) return {};
    body.push_back(*in);
    pc = in->next();
    if (!conditional_branch(*in)) continue;
    const uint64_t target = direct_target(*in);
    if (target == pc_) return status_flags_dead(source_, pc_) ? body : std::vector<Instruction>{};
    if (target <= in->pc) return {};
  }
  return {};
}

void Block::enter_unrolled(const std::vector<Instruction>& body) {
  plain_ = a_.newLabel();
  unrolled_ = a_.newLabel();
  at_ = body.back().pc;
  const uint8_t turns = copies(body.size());
  origin(pc_);
  t_.origins.back().turns = turns;
  hot({0x48, 0x83}, 7, ticks_left(), 1);  // cmp ticks_left, turns
  bytes({turns});
  check(a_.jg(unrolled_), "a loop");
  origin(pc_);
  a_.bind(plain_);
}

void Block::unrolled(const std::vector<Instruction>& body) {
  struct WayOut {
    Label label;
    uint8_t turns;
    uint64_t target;
  };
  std::vector<WayOut> ways;
  at_ = body.back().pc;
  const uint8_t turns = copies(body.size());
  const auto leave_if = [&](uint8_t condition, uint8_t turn, uint64_t target) {
    ways.push_back({a_.newLabel(), turn, target});
    jump_if(condition, ways.back().label);
  };
  check(a_.align(AlignMode::kCode, 16), "a loop");
  a_.bind(unrolled_);
  const auto inside = [&](uint64_t pc, uint8_t uncounted) {
    origin(pc);
    t_.origins.back().uncounted = uncounted;
    t_.origins.back().turns = turns;
  };
  for (uint8_t turn = 0; turn < turns; ++turn) {
    std::map<uint64_t, Label> ahead;  // in this turn, by guest address
    for (const auto& in : body) {
      if (const auto here = ahead.find(in.pc); here != ahead.end()) a_.bind(here->second);
      inside(in.pc, turn);
      const auto condition = static_cast<uint8_t>(in.info.opcode & 15);
      if (!conditional_branch(in)) {
        copy(in);
        continue;
      }
      const uint64_t target = direct_target(in);
      if (target == pc_)
        leave_if(condition ^ 1, turn, in.next());
      else if (std::ranges::binary_search(body, target, {}, &Instruction::pc))
        jump_if(condition, ahead.try_emplace(target, a_.newLabel()).first->second);
      else
        leave_if(condition, turn, target);
    }
  }
  inside(pc_, turns);
  tick(turns);
  inside(pc_, 0);
  hot({0x48, 0x83}, 7, ticks_left(), 1);
  bytes({turns});
  check(a_.jg(unrolled_), "a loop");
  check(a_.jmp(plain_), "a loop");
  for (const auto& way : ways) {
    a_.bind(way.label);
    inside(way.target, way.turns);
    if (way.turns != 0) count_ticks(way.target, way.turns);
    link(way.target);
  }
}

}  // namespace heddle::translator
