#include "machine/tracee/shared_code.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

#include "machine/runtime/runtime.h"

namespace heddle {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

SharedCode::SharedCode() {
  for (size_t i = 0; i < own_end.size(); ++i)
    own_end[i] = layout::kArenas[i].start + layout::kHotStateSize;
}

SharedCode::~SharedCode() {
  if (base) munmap(base, file_size());
}

void SharedCode::write(uint64_t host, std::span<const uint8_t> bytes) const {
  for (size_t i = 0; i < arenas.size(); ++i) {
    if (!layout::kArenas[i].contains(host)) continue;
    if (host >= own_end[i]) {
      std::memcpy(arenas[i] + (host - layout::kArenas[i].start), bytes.data(), bytes.size());
      return;
    }
    for (const auto& process : processes)
      if (const auto memory = process.lock()) memory->write(host, bytes);  // or it is gone
    return;
  }
  throw std::logic_error("not an address of the code cache");
}

void SharedCode::map(int fd) {
  if (ftruncate(fd, static_cast<off_t>(file_size())) != 0) fail("sizing the code cache");
  void* here =
      mmap(nullptr, file_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (here == MAP_FAILED) fail("mapping the code cache");
  base = static_cast<uint8_t*>(here);
  lookup = base;
  returns = base + kReturnsAt;
  hot = reinterpret_cast<heddle_hot_state*>(base + kHotAt);
  for (size_t i = 0; i < layout::kArenas.size(); ++i) arenas[i] = base + arena_at(i);
  lookup_miss = layout::kMissCode + runtime::lookup_miss();
  return_miss = layout::kMissCode + runtime::return_miss();
  // All pages at once cost less than a fault at each; where the kernel does not know how, they
  // fault.
  madvise(base, kHotAt + layout::kHotStateSize, MADV_POPULATE_WRITE);
  hot->miss_entry = layout::kMissCode + runtime::link_miss();
  hot->budget_entry = layout::kMissCode + runtime::budget();
  hot->cpuid_entry = layout::kMissCode + runtime::cpuid();
  std::fill_n(reinterpret_cast<uint64_t*>(lookup), layout::kLookupTable.size / sizeof(uint64_t),
              lookup_miss);
  std::fill_n(reinterpret_cast<uint64_t*>(returns), layout::kReturnTable.size / sizeof(uint64_t),
              return_miss);
}

}  // namespace heddle
