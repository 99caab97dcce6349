#include "tests/differential/generator.h"

#include <array>
#include <cstring>

#include "tests/differential/random_instruction.h"

namespace heddle::differential {
namespace {

using Bytes = std::vector<uint8_t>;

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed * 0x9e3779b97f4a7c15ull + 1) {
    program_.seed = seed;
    program_.placement = kPlacements[below(random_, std::size(kPlacements))];
    program_.memory_seed = random_();
  }

  GuestProgram generate() {
    registers();
    extended();
    const auto parts = 2 + below(random_, 7);
    for (uint64_t i = 0; i < parts; ++i) part();
    if (chance(random_, 25)) fault();
    append_calls();
    return std::move(program_);
  }

 private:
  int here() const { return static_cast<int>(program_.items.size()); }
  Item& put(Item item) {
    program_.items.push_back(std::move(item));
    return program_.items.back();
  }
  Item& plain(Bytes bytes) { return put({.bytes = std::move(bytes)}); }
  int transfer(Item::Kind kind, Bytes bytes = {}, int target = -1) {
    put({.kind = kind,
         .bytes = std::move(bytes),
         .target = target,
         .near_form = chance(random_, 30)});
    return here() - 1;
  }
  void lead(int item, int target) { program_.items[static_cast<size_t>(item)].target = target; }

  void straight(uint64_t most, bool stack = true) {
    const InstructionRules rules{program_.placement, stack};
    const auto n = 1 + below(random_, most);
    for (uint64_t i = 0; i < n; ++i) put(random_instruction(random_, rules));
  }

  // mov r32, imm32 (which clears the upper half) of a register by its number.
  void load(Register reg, uint32_t value) {
    const auto number = static_cast<uint8_t>(reg);
    Bytes bytes;
    if (number >= 8) bytes.push_back(0x41);
    bytes.push_back(static_cast<uint8_t>(0xb8 | (number & 7)));
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
    plain(bytes);
  }

  // lea reg, [data + offset], relative to rip.
  void load_data_address(Register reg, uint64_t offset) {
    const auto number = static_cast<uint8_t>(reg);
    put({.kind = Item::Kind::data,
         .bytes = {static_cast<uint8_t>(number >= 8 ? 0x4c : 0x48), 0x8d,
                   static_cast<uint8_t>(5 | (number & 7) << 3), 0, 0, 0, 0},
         .data = program_.placement.data() + offset,
         .displacement_at = 3});
  }

  void part() {
    switch (below(random_, 12)) {
      case 0:
      case 1:
        return forward();
      case 2:
      case 3:
        return loop();
      case 4:
        return call();
      case 5:
        return indirect_jump();
      case 6:
        return spaghetti();
      case 7:
        return string();
      case 8:
      case 9:
        return special();
      default:
        return straight(6);
    }
  }

  void forward() {
    const int branch = chance(random_, 30) ? transfer(Item::Kind::counted, counted_opcode())
                                           : transfer(Item::Kind::conditional,
                                                      {static_cast<uint8_t>(below(random_, 16))});
    straight(5);
    lead(branch, here());
    straight(2);
  }

  Bytes counted_opcode() {
    Bytes bytes;
    if (chance(random_, 25)) bytes.push_back(0x67);
    bytes.push_back(static_cast<uint8_t>(0xe0 + below(random_, 4)));
    return bytes;
  }

  void loop() {
    load(kCounter, static_cast<uint32_t>(1 + below(random_, 6)));
    const int top = here();
    straight(4, false);
    switch (below(random_, 4)) {
      case 0:
        plain({0x41, 0x83, 0xeb, 0x01});  // sub r11d,1
        transfer(Item::Kind::conditional, {5}, top);
        break;
      case 1:
        plain({0x41, 0xff, 0xcb});  // dec r11d: keeps CF
        transfer(Item::Kind::conditional, {static_cast<uint8_t>(chance(random_, 50) ? 5 : 7)}, top);
        break;
      case 2: {
        plain({0x4d, 0x8d, 0x5b, 0xff});  // lea r11,[r11-1]
        plain({0x4c, 0x89, 0xd9});        // mov rcx,r11
        const int out = transfer(Item::Kind::counted, {0xe3});
        transfer(Item::Kind::jump, {}, top);
        lead(out, here());
        break;
      }
      default: {
        plain({0x4c, 0x89, 0xd9});        // mov rcx,r11
        plain({0x4d, 0x8d, 0x5b, 0xff});  // lea r11,[r11-1]
        auto opcode = counted_opcode();
        if (opcode.back() == 0xe3) opcode.back() = 0xe2;
        transfer(Item::Kind::counted, opcode, top);
      }
    }
  }

  void call() {
    const auto popped = static_cast<uint8_t>(8 * below(random_, 3));
    for (int i = 0; i < popped / 8; ++i) plain({static_cast<uint8_t>(0x50 | below(random_, 4))});
    Call made{-1, popped};
    switch (below(random_, 4)) {
      case 0:
      case 1:
        made.leads = transfer(Item::Kind::call);
        break;
      case 2:
        made.leads = transfer(Item::Kind::address, {0x48, 0x8d, 0x05});  // lea rax,[rip+...]
        plain({0xff, 0xd0});                                             // call rax
        break;
      default:
        made.leads = transfer(Item::Kind::address, {0x4c, 0x8d, 0x35});  // lea r14,[rip+...]
        plain({0x4c, 0x89, 0x75, 0x10});                                 // mov [rbp+0x10],r14
        plain({0xff, 0x55, 0x10});                                       // call [rbp+0x10]
    }
    calls_.push_back(made);
    straight(2);
  }

  void append_calls() {
    if (calls_.empty()) return;
    // What falls out of the program's end must not fall into the first function.
    transfer(Item::Kind::jump);
    const int over = here() - 1;
    for (const auto& made : calls_) {
      lead(made.leads, here());
      straight(4, false);
      if (made.popped == 0)
        plain(chance(random_, 20) ? Bytes{0xf3, 0xc3} : Bytes{0xc3});
      else
        plain({0xc2, made.popped, 0});
    }
    lead(over, here());
  }

  void indirect_jump() {
    const int leads = transfer(Item::Kind::address, {0x48, 0x8d, 0x05});  // lea rax,[rip+...]
    switch (below(random_, 4)) {
      case 0:
        plain({0xff, 0xe0});  // jmp rax
        break;
      case 1:
        plain({0x49, 0x89, 0x45, 0x40});  // mov [r13+0x40],rax
        plain({0x41, 0xff, 0x65, 0x40});  // jmp [r13+0x40]
        break;
      case 2:
        plain({0x50});  // push rax
        plain({0xc3});  // ret
        break;
      default:
        plain({0x50});                          // push rax
        plain({0x48, 0x8d, 0x64, 0x24, 0x08});  // lea rsp,[rsp+8]
        plain({0xff, 0x64, 0x24, 0xf8});        // jmp [rsp-8]: in the red zone
    }
    straight(3);
    lead(leads, here());
    straight(2);
  }

  void spaghetti() {
    const int to_a = transfer(Item::Kind::jump);
    const int b = here();
    straight(3);
    const int to_c = transfer(Item::Kind::jump);
    lead(to_a, here());
    straight(3);
    transfer(Item::Kind::jump, {}, b);
    lead(to_c, here());
    straight(2);
  }

  void string() {
    const bool backward = chance(random_, 30);
    load_data_address(Register::rdi, 0x1400 + below(random_, 64));
    load_data_address(Register::rsi, 0x1800 + below(random_, 64));
    load(Register::rcx, static_cast<uint32_t>(below(random_, 9)));
    if (backward) plain({0xfd});  // std
    static constexpr uint8_t kOpcodes[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa,
                                           0xab, 0xac, 0xad, 0xae, 0xaf};
    Bytes bytes;
    if (chance(random_, 15)) bytes.push_back(0x66);
    if (chance(random_, 75)) bytes.push_back(chance(random_, 60) ? 0xf3 : 0xf2);
    if (chance(random_, 30)) bytes.push_back(0x48);
    bytes.push_back(kOpcodes[below(random_, std::size(kOpcodes))]);
    plain(bytes);
    straight(1);
    if (backward) plain({0xfc});  // cld
  }

  void special();
  void fault();
  void registers();
  void extended();
  // Eight bytes of a vector register: pairs of floats, a double or noise.
  uint64_t float_or_noise() {
    const uint64_t x = random_();
    if (chance(random_, 40)) return x;
    if (chance(random_, 50)) return (x & 0x800fffffffffffff) | (0x3f0 + below(random_, 32)) << 52;
    return (x & 0x807fffff807fffff) | (0x70 + below(random_, 32)) << 23 |
           (0x70 + below(random_, 32)) << 55;
  }

  struct Call {
    int leads;
    uint8_t popped;
  };

  Random random_;
  GuestProgram program_;
  std::vector<Call> calls_;
};

void Generator::special() {
  const auto displacement = static_cast<uint8_t>(8 * below(random_, 8));
  switch (below(random_, 14)) {
    case 12: {  // gathers, with a mask as it comes or of all elements
      load_data_address(Register::rsi, 0x1200 + displacement);
      const bool wide = chance(random_, 50);  // indexes of 8 bytes
      plain({0xc5, 0xed, 0x76, 0xd2});        // vpcmpeqd ymm2,ymm2,ymm2
      if (wide)
        plain({0xc5, 0xed, 0x73, 0xd2, 0x3a});  // vpsrlq ymm2,ymm2,58
      else
        plain({0xc5, 0xed, 0x72, 0xd2, 0x1a});  // vpsrld ymm2,ymm2,26
      if (chance(random_, 50))
        plain({0xc5, 0xf5, 0x76, 0xc9});  // vpcmpeqd ymm1,ymm1,ymm1
      else
        plain({0xc5, 0xfd, 0x6f, 0xcd});  // vmovdqa ymm1,ymm5
      const auto opcode =
          static_cast<uint8_t>((chance(random_, 50) ? 0x90 : 0x92) | (wide ? 1 : 0));
      plain({0xc4, 0xe2,
             static_cast<uint8_t>((chance(random_, 50) ? 0xf1 : 0x71) |
                                  (chance(random_, 50) ? 4 : 0)),
             opcode, 0x04, 0x96});  // ymm0,[rsi+ymm2*4],ymm1
      return;
    }
    case 0:  // popf with status flags and DF as they come
      plain({0x68, static_cast<uint8_t>(random_() & 0xd5), static_cast<uint8_t>(random_() & 0xc), 0,
             0, 0x9d});
      straight(1);
      plain({0xfc});
      return;
    case 1:                 // a division that works
      plain({0x31, 0xd2});  // xor edx,edx
      load(Register::rcx, static_cast<uint32_t>(1 + below(random_, 1000)));
      plain({0x48, 0xf7, static_cast<uint8_t>(chance(random_, 50) ? 0xf1 : 0xf9)});
      return;
    case 2:  // shifts by a count that matters
      load(Register::rcx,
           static_cast<uint32_t>(std::array{0, 1, 31, 32, 63, 64}[below(random_, 6)]));
      for (int i = 0; i < 2; ++i) {
        const auto extension = static_cast<uint8_t>(below(random_, 8) << 3);
        if (chance(random_, 50))
          plain({0x48, 0xd3, static_cast<uint8_t>(0xc0 | extension | below(random_, 4))});
        else
          plain({static_cast<uint8_t>(chance(random_, 50) ? 0xd2 : 0xd3),
                 static_cast<uint8_t>(0x45 | extension), displacement});
      }
      return;
    case 3:  // shld and shrd by cl
      load(Register::rcx, static_cast<uint32_t>(below(random_, 40)));
      plain({0x0f, static_cast<uint8_t>(chance(random_, 50) ? 0xa5 : 0xad), 0x5d, displacement});
      return;
    case 4:  // cmpxchg that succeeds, or nearly; updates that write their own address
      if (chance(random_, 25)) {
        load_data_address(Register::rax, 0x1200 + displacement);
        static const Bytes kWays[] = {
            {0x0f, 0xc0, 0x20}, {0x48, 0x0f, 0xc1, 0x00}, {0x0f, 0xb1, 0x08}};
        return (void)plain(kWays[below(random_, std::size(kWays))]);
      }
      plain({0x8b, 0x45, displacement});  // mov eax,[rbp+...]
      if (chance(random_, 50)) plain({0xff, 0xc0});
      if (chance(random_, 50))
        plain({0xf0, 0x0f, 0xb1, 0x4d, displacement});
      else
        plain({0x0f, 0xb1, 0x4d, displacement});
      return;
    case 5:                             // cmpxchg16b that succeeds, or nearly
      plain({0x48, 0x8b, 0x45, 0x40});  // mov rax,[rbp+0x40]
      plain({0x48, 0x8b, 0x55, 0x48});  // mov rdx,[rbp+0x48]
      if (chance(random_, 50)) plain({0xff, 0xc0});
      plain({0xf0, 0x48, 0x0f, 0xc7, 0x4d, 0x40});
      return;
    case 6:  // bit strings
      load(Register::rsi, static_cast<uint32_t>(below(random_, 512)));
      if (chance(random_, 50)) plain({0x48, 0xf7, 0xde});  // neg rsi
      {
        static constexpr uint8_t kOpcodes[] = {0xab, 0xb3, 0xbb};
        Bytes bytes{0x0f, kOpcodes[below(random_, 3)], 0x75, displacement};
        if (chance(random_, 30)) bytes.insert(bytes.begin(), 0x48);
        if (chance(random_, 30)) bytes.insert(bytes.begin(), 0xf0);
        plain(bytes);
      }
      return;
    case 7:  // fnstenv, fxsave: what the translator hides taken out by the program itself
      if (chance(random_, 50))
        plain({0xd9, 0x75, 0x40,                      // fnstenv [rbp+0x40]
               0x48, 0xc7, 0x45, 0x4c, 0, 0, 0, 0,    // mov qword [rbp+0x4c],0
               0x48, 0xc7, 0x45, 0x54, 0, 0, 0, 0});  // mov qword [rbp+0x54],0
      else
        plain({0x48, 0x0f, 0xae, 0x45, 0x40,             // fxsave64 [rbp+0x40]
               0x66, 0xc7, 0x45, 0x46, 0,    0,          // mov word [rbp+0x46],0
               0x48, 0xc7, 0x45, 0x48, 0,    0, 0, 0,    // mov qword [rbp+0x48],0
               0x48, 0xc7, 0x45, 0x50, 0,    0, 0, 0});  // mov qword [rbp+0x50],0
      return;
    case 8:  // mxcsr, all exceptions masked
      plain({0xc7, 0x45, displacement, static_cast<uint8_t>(0x80),
             static_cast<uint8_t>(0x1f | (random_() & 0xe0)), 0, 0});
      plain({0x0f, 0xae, 0x55, displacement});
      return;
    case 9:  // xlat, maskmovdqu
      if (chance(random_, 50)) {
        load_data_address(Register::rbx, 0x1800);
        plain({0xd7});
      } else {
        load_data_address(Register::rdi, 0x1800);
        plain({0x66, 0x0f, 0xf7, 0xca});
      }
      return;
    case 10:  // enter and leave: rbp comes back
      plain({0xc8, static_cast<uint8_t>(8 * below(random_, 8)), 0,
             static_cast<uint8_t>(below(random_, 2))});
      plain({0xc9});
      return;
    case 11:  // an address of 32 bits
      if (program_.placement.code < (uint64_t{1} << 32))
        plain({0x67, 0x48, 0x01, 0x45, displacement});
      return;
    default:  // pop [rsp+8] and push [rsp]
      plain({0x50, 0x50});
      plain({0x8f, 0x44, 0x24, 0x08});
      plain({0xff, 0x34, 0x24});
      plain({0x58, 0x58});
  }
}

// One instruction that faults, of every kind that user code can meet.
void Generator::fault() {
  const auto stack_low = program_.placement.stack();
  const auto code = program_.placement.code;
  const auto put64 = [&](uint8_t rex, uint8_t opcode, uint64_t value) {
    Bytes bytes{rex, opcode};
    for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
    plain(bytes);
  };
  const auto rax = [&](uint64_t value) { put64(0x48, 0xb8, value); };
  switch (below(random_, 16)) {
    case 0:
      rax(below(random_, 0x1000));
      return (void)plain({0x01, 0x08});  // add [rax],ecx near 0
    case 1:
      rax(0x8000'0000'0000'0000 | random_() >> 1);
      return (void)plain({0x48, 0x8b, 0x08});  // not canonical
    case 2:
      plain({0x31, 0xc9});
      return (void)plain({0xf7, 0xf1});  // div by 0
    case 3:
      return (void)plain({0x0f, 0x0b});
    case 4:
      return (void)plain({static_cast<uint8_t>(std::array{0xf4, 0xfa, 0xec}[below(random_, 3)])});
    case 5: {  // a read-modify-write of a read-only page: the load works
      rax(program_.placement.read_only() + 8 * below(random_, 64));
      static const Bytes kWays[] = {{0x83, 0x00, 0x01}, {0x11, 0x18},       {0xff, 0x00},
                                    {0xf0, 0x01, 0x08}, {0x87, 0x10},       {0x0f, 0xb1, 0x08},
                                    {0xd3, 0x20},       {0xf7, 0x10},       {0x0f, 0xc1, 0x08},
                                    {0x83, 0x18, 0x05}, {0x0f, 0xc0, 0x20}, {0xd1, 0x10}};
      return (void)plain(kWays[below(random_, std::size(kWays))]);
    }
    case 6:  // rep movs or stos into the page behind the data
      put64(0x48, 0xbf, program_.placement.read_only() - 8 * below(random_, 5));
      load(Register::rcx, 20);
      load_data_address(Register::rsi, 0x1000);
      return (void)plain({0xf3, static_cast<uint8_t>(chance(random_, 50) ? 0xa4 : 0xab)});
    case 7:  // push into the guard page
      put64(0x48, 0xbc, stack_low + below(random_, 8));
      return (void)plain({static_cast<uint8_t>(0x50 | below(random_, 8))});
    case 8:  // call with a bad stack
      put64(0x48, 0xbc, stack_low);
      if (chance(random_, 50)) return (void)plain({0xff, 0xd0});
      return (void)transfer(Item::Kind::call, {}, 0);
    case 9:  // ret with a bad stack
      put64(0x48, 0xbc, stack_low - 0x100);
      return (void)plain({0xc3});
    case 10:  // jmp, call or ret to nowhere
    case 11: {
      const uint64_t targets[] = {0,
                                  below(random_, 0x10000),
                                  code - 0x2000,
                                  0x7fff'0000'1234,
                                  0x1234'5678'9abc,
                                  program_.placement.data() + 0x100};
      rax(targets[below(random_, std::size(targets))]);
      if (chance(random_, 30)) return (void)plain({0xff, 0xd0});
      if (chance(random_, 50)) return (void)plain({0xff, 0xe0});
      plain({0x50});
      return (void)plain({0xc3});
    }
    case 12:
      return (void)plain(
          {0x0f, 0x28, 0x45, static_cast<uint8_t>(1 + below(random_, 15))});  // movaps
    case 13:  // an x87 exception that is not masked, met by the next x87 instruction
      plain({0x66, 0xc7, 0x45, 0x00, 0x00, 0x03});
      plain({0xd9, 0x6d, 0x00});  // fldcw
      plain({0xd9, 0xee});        // fldz
      plain({0xd9, 0xe8});        // fld1
      plain({0xd8, 0xf1});        // fdiv st1
      return (void)plain({0x9b});
    case 14:
      plain({0xc7, 0x45, 0x00, 0xff, 0xff, 0xff, 0xff});
      return (void)plain({0x0f, 0xae, 0x55, 0x00});  // ldmxcsr of reserved bits
    default:
      rax(random_());
      return (void)plain({0xff, 0x20});  // jmp [rax]
  }
}

void Generator::registers() {
  auto& r = program_.registers;
  for (size_t i = 0; i < 16; ++i) {
    const uint64_t x = random_();
    switch (below(random_, 6)) {
      case 0:
        r.values[i] = x & 0xff;
        break;
      case 1:
        r.values[i] = ~uint64_t{0} << (x & 63);
        break;
      case 2:
        r.values[i] = static_cast<uint32_t>(x);
        break;
      default:
        r.values[i] = x;
    }
  }
  const auto& p = program_.placement;
  r[kDataBase] = p.data() + 0x1000;
  r[kDataBase2] = p.data() + 0x2000;
  r[kStackBase] = p.stack() + 0x1000;
  r[kSmallIndex] = below(random_, 64);
  r[kCounter] = 1;
  r[Register::rsp] = p.stack() + 0x3000;
  r[Register::rip] = p.code;
  r[Register::rflags] = 0x202 | (random_() & 0x8d5);
  r[Register::fs_base] = p.data() + 0x1800;
}

void Generator::extended() {
  auto& x = program_.extended;
  x.resize(832);
  const auto put = [&](size_t at, auto value) { std::memcpy(x.data() + at, &value, sizeof value); };
  put(0, uint16_t{0x37f});                                        // fcw
  put(2, static_cast<uint16_t>(below(random_, 8) << 11));         // fsw: top
  x[4] = static_cast<uint8_t>(random_());                         // ftw, abridged
  put(24, static_cast<uint32_t>(0x1f80 | (random_() & 0xe03f)));  // mxcsr
  put(28, uint32_t{0x2ffff});                                     // mxcsr mask
  for (size_t i = 0; i < 8; ++i) {
    put(32 + 16 * i, random_());
    put(40 + 16 * i,
        static_cast<uint16_t>(chance(random_, 70) ? 0x3fff - 20 + below(random_, 40) : random_()));
  }
  for (size_t at = 160; at < 416; at += 8) put(at, float_or_noise());
  for (size_t at = 576; at < 832; at += 8) put(at, float_or_noise());
}

}  // namespace

GuestProgram generate(uint64_t seed) {
  return Generator(seed).generate();
}

}  // namespace heddle::differential
