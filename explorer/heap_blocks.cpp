#include "explorer/heap_blocks.h"

#include <array>
#include <utility>

#include "machine/tracee/guest_code.h"
#include "machine/translator/operand.h"

namespace heddle {
namespace {

constexpr uint64_t kLongestFunction = 8192;  // bytes
constexpr size_t kMostCalls = 16;            // of one task under way: more were left by a jump

bool is_return(uint8_t first, uint8_t second) {
  return first == 0xc3 || first == 0xc2 || (first == 0xf3 && second == 0xc3);
}

}  // namespace

void HeapBlocks::code_mapped(uint64_t start, uint64_t size, const GuestMemory& memory,
                             std::map<uint64_t, Register>& calls) {
  const std::pair<const char*, Function> functions[] = {
      {"malloc", Function::allocate}, {"calloc", Function::clear},
      {"realloc", Function::resize},  {"aligned_alloc", Function::align},
      {"memalign", Function::align},  {"_Znwm", Function::allocate},
      {"_Znam", Function::allocate},  {"free", Function::release},
      {"_ZdlPv", Function::release},  {"_ZdlPvm", Function::release},
      {"_ZdaPv", Function::release},  {"_ZdaPvm", Function::release},
  };
  for (const auto& [name, function] : functions) watch(name, function, start, size, memory, calls);
}

void HeapBlocks::watch(const std::string& name, Function function, uint64_t start, uint64_t size,
                       const GuestMemory& memory, std::map<uint64_t, Register>& calls) {
  const auto entry = symbols_->address_of(name);
  if (!entry || *entry < start || *entry >= start + size || sites_.contains(*entry)) return;
  const auto add = [&](uint64_t pc, At at, Register argument) {
    sites_[pc] = {function, at, *entry};
    calls[pc] = argument;
  };
  add(*entry, At::entry, Register::rdi);
  if (function == Function::release) return;
  const GuestCode code(memory);
  const std::string own = symbols_->function(*entry);
  uint64_t pc = *entry;
  while (pc < *entry + kLongestFunction && symbols_->function(pc) == own) {
    const unsigned length = translator::instruction_length(code, pc);
    if (length == 0) return;
    const auto bytes = memory.load<std::array<uint8_t, 2>>(pc);
    if (bytes && is_return((*bytes)[0], (*bytes)[1])) add(pc, At::exit, Register::rax);
    if (pc == *entry && function != Function::allocate) add(pc + length, At::second, Register::rsi);
    pc += length;
  }
}

HeapBlocks::Change HeapBlocks::called(TaskId task, const LogEntry& entry) {
  const Site& site = sites_.at(entry.pc);
  std::vector<Call>& calls = calls_[task];
  switch (site.at) {
    case At::entry:
      if (site.function == Function::release) return release(task, entry.address, site.entry);
      if (calls.size() == kMostCalls) calls.erase(calls.begin());
      calls.push_back({site.function, site.entry, entry.address, 0});
      return {};
    case At::second:
      if (!calls.empty() && calls.back().entry == site.entry) calls.back().second = entry.address;
      return {};
    case At::exit:
      break;
  }
  while (!calls.empty() && calls.back().entry != site.entry) calls.pop_back();
  if (calls.empty()) return {};
  const Call call = calls.back();
  calls.pop_back();
  return returned(task, call, entry.address);
}

HeapBlocks::Change HeapBlocks::release(TaskId task, uint64_t address, uint64_t entry) {
  Change change;
  change.by = entry;
  if (const auto block = live_.find(address); block != live_.end()) {
    change.freed = {address, block->second};
    freed_[address] = block->second;
    freed_by_[address] = task;
    live_.erase(block);
    return change;
  }
  // By the same task it may be an inner call of the same: operator delete ends in free, and glibc
  // frees what a thread that ends has kept for itself. What a program does wrong there it sees.
  const auto again = freed_.find(address);
  if (again == freed_.end() || freed_by_[address] == task) return change;
  change.twice = true;
  change.freed = {address, again->second};
  freed_by_[address] = task;
  return change;
}

HeapBlocks::Change HeapBlocks::returned(TaskId task, const Call& call, uint64_t result) {
  Change change;
  change.by = call.entry;
  if (result == 0) return change;
  uint64_t size = call.first;
  if (call.function == Function::clear) size = call.first * call.second;
  if (call.function == Function::align || call.function == Function::resize) size = call.second;
  if (call.function == Function::resize && call.first != 0 && call.first != result) {
    if (const auto old = live_.find(call.first); old != live_.end()) {
      change.freed = {old->first, old->second};
      freed_[old->first] = old->second;
      freed_by_[old->first] = task;
      live_.erase(old);
    }
  }
  // Where a block is now there is no freed one.
  auto gone = freed_.upper_bound(result);
  if (gone != freed_.begin()) --gone;
  while (gone != freed_.end() && gone->first < result + size)
    gone = gone->first + gone->second > result || gone->first == result ? freed_.erase(gone)
                                                                        : std::next(gone);
  live_[result] = size;
  change.allocated = {result, size};
  return change;
}

std::vector<uint64_t> HeapBlocks::places() const {
  std::vector<uint64_t> places;
  for (const auto& [pc, site] : sites_) places.push_back(pc);
  return places;
}

std::optional<Register> HeapBlocks::argument(uint64_t pc) const {
  const auto site = sites_.find(pc);
  if (site == sites_.end()) return std::nullopt;
  if (site->second.at == At::entry) return Register::rdi;
  return site->second.at == At::second ? Register::rsi : Register::rax;
}

std::optional<HeapBlocks::Block> HeapBlocks::to_free(uint64_t pc, uint64_t argument) const {
  const auto site = sites_.find(pc);
  if (site == sites_.end() || site->second.function != Function::release) return std::nullopt;
  for (const auto* blocks : {&live_, &freed_})
    if (const auto block = blocks->find(argument); block != blocks->end())
      return Block{block->first, block->second};
  return std::nullopt;
}

HeapBlocks HeapBlocks::without_blocks() const {
  HeapBlocks empty(*symbols_);
  empty.sites_ = sites_;
  return empty;
}

std::optional<HeapBlocks::Block> HeapBlocks::freed_at(uint64_t address) const {
  auto block = freed_.upper_bound(address);
  if (block == freed_.begin()) return std::nullopt;
  --block;
  if (address - block->first >= block->second) return std::nullopt;
  return Block{block->first, block->second};
}

}  // namespace heddle
