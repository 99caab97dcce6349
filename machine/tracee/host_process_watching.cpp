#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>
#include <system_error>

#include "machine/pages.h"
#include "machine/runtime/served_calls.h"
#include "machine/tracee/host_process.h"

namespace heddle {

void HostProcess::watch_code(HostThread& by, const std::set<uint64_t>& pages) {
  auto& watched = memory_->watched();
  const auto maps = memory_->maps();
  const auto watch = [&](uint64_t page, uint32_t prot, uint64_t code) {
    const bool already = watched.watches(page);
    watched.watch(page, prot, code);
    if (already) return;
    const int64_t result = remote_syscall(
        by, SYS_mprotect, {page, kPage, (prot & ~uint32_t{PROT_WRITE}) | PROT_READ, 0, 0, 0});
    if (result != 0)
      throw std::system_error(static_cast<int>(-result), std::generic_category(),
                              "write-protecting code");
  };
  for (const uint64_t page : pages) {
    const auto own = std::ranges::find_if(
        maps, [&](const MapsEntry& entry) { return page >= entry.start && page < entry.end; });
    if (own == maps.end()) continue;
    if (!own->shared) {
      watch(page, own->prot, page);
      continue;
    }
    watched.add_shared(page);
    const uint64_t offset = own->offset + (page - own->start);
    for (const auto& entry : maps) {
      if (!entry.shared || entry.inode != own->inode || entry.device != own->device ||
          !(entry.prot & PROT_WRITE) || offset - entry.offset >= entry.end - entry.start)
        continue;
      watch(entry.start + (offset - entry.offset), entry.prot, page);
    }
  }
}

std::set<uint64_t> HostProcess::let_write(HostThread& by, uint64_t start, uint64_t size) {
  std::set<uint64_t> code;
  for (const uint64_t page : memory_->watched().within(start, size)) {
    auto released = memory_->watched().release(page);
    remote_syscall(by, SYS_mprotect, {page, kPage, released.prot, 0, 0, 0});
    code.merge(released.code);
  }
  return code;
}

std::set<uint64_t> HostProcess::mapping_changed(uint64_t start, uint64_t size) {
  forget_plain(start, size);
  auto& watched = memory_->watched();
  std::set<uint64_t> code = watched.take_shared();
  for (const uint64_t page : watched.within(start, size)) code.merge(watched.release(page).code);
  return code;
}

void HostProcess::forget_plain(uint64_t start, uint64_t size) {
  constexpr uint64_t kTable = layout::kRuntimeData.start + offsetof(heddle_runtime_data, plain);
  using Table = std::array<heddle_range, HEDDLE_PLAIN_RANGES>;
  auto ranges = memory_->load<Table>(kTable);
  if (!ranges) return;
  bool changed = false;
  for (auto& range : *ranges) {
    if (range.start >= range.end || range.start >= start + size || range.end <= start) continue;
    changed = true;
    // The larger rest is plain yet.
    if (range.end - std::min(range.end, start + size) > std::max(start, range.start) - range.start)
      range.start = start + size;
    else
      range.end = std::max(start, range.start);
  }
  if (changed) memory_->store(kTable, *ranges);
}

void HostProcess::serve_no_mappings() {
  memory_->store<uint64_t>(layout::kRuntimeData.start + offsetof(heddle_runtime_data, maps), 0);
  forget_plain(0, ~uint64_t{0});
}

}  // namespace heddle
