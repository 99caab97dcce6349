#include "machine/stacks/go_thread.h"

#include <charconv>

namespace heddle {
namespace {

// .go.buildinfo since Go 1.18 (src/debug/buildinfo/buildinfo.go): magic, flags, then texts with
// lengths as varints from offset 32 on; the first is the version.
constexpr uint64_t kBuildFlags = 15, kBuildTexts = 32;
constexpr uint8_t kTextsInline = 2;

// How the linker has code load the current g from thread-local storage (`mov %fs:disp32, reg`, or
// where the program may lie anywhere `mov $imm32, reg; mov %fs:(reg), reg`): the offset. Nothing
// where it is not at the start of `code`.
std::optional<int64_t> g_offset_in(const TableBytes& code) {
  constexpr uint64_t kWithin = 32;
  for (uint64_t at = 0; at < kWithin; ++at) {
    const auto word = code.get<uint32_t>(at).value_or(0);
    const auto next = code.get<uint32_t>(at + 7).value_or(0);
    const bool absolute = (word & 0xc7ffffff) == 0x048b4864 && code.get<uint8_t>(at + 4) == 0x25;
    const bool immediate = (word & 0xf8ffff) == 0xc0c748 && (next & 0xffffff) == 0x8b4864;
    if (absolute) return code.get<int32_t>(at + 5);
    if (immediate) return code.get<int32_t>(at + 3);
  }
  return std::nullopt;
}

}  // namespace

std::string GoLayout::version(const LoadedModule& module) {
  const auto info = module.image().section(".go.buildinfo");
  if (!info || !(info->contents.get<uint8_t>(kBuildFlags).value_or(0) & kTextsInline)) return {};
  const auto length = info->contents.get<uint8_t>(kBuildTexts).value_or(0);
  const auto text = info->contents.from(kBuildTexts + 1).bytes();
  if (length >= 0x80 || length > text.size()) return {};
  return {reinterpret_cast<const char*>(text.data()), length};
}

std::optional<GoLayout> GoLayout::of_version(const std::string& version) {
  // src/runtime/runtime2.go: g, m and gobuf, which lost a word in 1.25.
  constexpr std::string_view kPrefix = "go1.";
  if (!version.starts_with(kPrefix)) return std::nullopt;
  unsigned minor = 0;
  std::from_chars(version.data() + kPrefix.size(), version.data() + version.size(), minor);
  if (minor >= 18 && minor <= 23) return GoLayout{.g_m = 48, .g_sched = 56, .m_curg = 192};
  if (minor == 25) return GoLayout{.g_m = 48, .g_sched = 56, .m_curg = 184};
  return std::nullopt;
}

std::optional<GoLayout> GoLayout::of(const LoadedModule& module) {
  if (!module.go()) return std::nullopt;
  auto layout = of_version(version(module));
  const auto& types = module.debug_info();
  const auto g_m = types.member_offset("runtime.g", "m");
  const auto g_sched = types.member_offset("runtime.g", "sched");
  const auto m_curg = types.member_offset("runtime.m", "curg");
  if (g_m && g_sched && m_curg) layout = {.g_m = *g_m, .g_sched = *g_sched, .m_curg = *m_curg};
  if (!layout) return std::nullopt;
  if (const auto loads_g = module.go()->address_of("runtime.systemstack"))
    if (const auto offset = g_offset_in(module.image().at(*loads_g))) layout->tls_g = *offset;
  return layout;
}

GoThread::GoThread(const GoLayout& layout, const GuestMemory& memory, uint64_t fs_base)
    : layout_(layout), memory_(memory) {
  const auto load = [&](uint64_t address) {
    return address ? memory_.load<uint64_t>(address).value_or(0) : 0;
  };
  const uint64_t g = load(fs_base + static_cast<uint64_t>(layout.tls_g));
  const uint64_t m = g ? load(g + layout.g_m) : 0;
  const uint64_t g0 = load(m);
  if (m == 0 || g0 == 0 || load(g0 + layout.g_m) != m) return;
  g0_ = g0;
  const uint64_t curg = load(m + layout.m_curg);
  if (curg != 0 && load(curg + layout.g_m) == m) curg_ = curg;
}

std::optional<GoThread::Saved> GoThread::saved(uint64_t g) const {
  const auto sp = memory_.load<uint64_t>(g + layout_.g_sched);
  const auto pc = memory_.load<uint64_t>(g + layout_.g_sched + sizeof(uint64_t));
  if (g == 0 || !sp || !pc || *sp == 0) return std::nullopt;
  return Saved{*pc, *sp};
}

std::optional<GoThread::Saved> GoThread::goroutine_left() const {
  return saved(curg_);
}

bool GoThread::on_goroutine(uint64_t sp) const {
  const auto low = memory_.load<uint64_t>(curg_);
  const auto high = stack_end(curg_);
  return curg_ != 0 && low && high && *low <= sp && sp < *high;
}

std::optional<uint64_t> GoThread::stack_end(uint64_t g) const {
  return memory_.load<uint64_t>(g + sizeof(uint64_t));
}

// cgocallback leaves its stack pointer in g0's sched.sp, and what was there before at the address
// that it points to: a list, outwards, of the callbacks that the thread is in (src/runtime/
// asm_amd64.s, cgocallback).
std::optional<uint64_t> GoThread::callback_above(uint64_t sp) const {
  const auto first = saved(g0_);
  if (!first) return std::nullopt;
  for (uint64_t at = first->sp; at <= sp;) {
    const auto next = memory_.load<uint64_t>(at);
    if (!next || *next <= at) return std::nullopt;
    at = *next;
    if (at > sp) return at;
  }
  return first->sp;
}

}  // namespace heddle
