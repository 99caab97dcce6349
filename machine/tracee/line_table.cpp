#include "machine/tracee/line_table.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace heddle {
namespace {

constexpr uint64_t kLines = uint64_t{1} << 32;

void merge(uint32_t& known, uint32_t owner) {
  if (known == 0)
    known = owner;
  else if (known != owner)
    known = LineUse::kMany;
}

}  // namespace

static_assert(sizeof(LineUse) * kLines == layout::kLineTable.size);

LineTable::LineTable(HostProcess& process, translator::AccessFilter filter) {
  const bool owners = filter == translator::AccessFilter::owners;
  size_ = owners ? layout::kLineTable.size : kLines;
  file_ = process.share_file(process.thread(), {&layout::kLineTable.start, 1}, size_,
                             PROT_READ | PROT_WRITE);
  void* here = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_, 0);
  if (here == MAP_FAILED) {
    const int error = errno;
    close(file_);
    throw std::system_error(error, std::generic_category(), "mapping the table of lines");
  }
  memory_ = static_cast<uint8_t*>(here);
}

LineTable::~LineTable() {
  munmap(memory_, size_);
  close(file_);
}

void LineTable::hide(HostProcess& process) {
  const int64_t got = process.remote_syscall(
      SYS_mmap, {layout::kLineTable.start, layout::kLineTable.size, PROT_READ | PROT_WRITE,
                 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull, 0});
  if (got < 0)
    throw std::system_error(static_cast<int>(-got), std::generic_category(),
                            "hiding the table of lines from a copy");
}

void LineTable::use(uint64_t address, uint64_t size, uint32_t owner, bool writes) {
  auto* uses = reinterpret_cast<LineUse*>(memory_);
  const uint64_t last = (address + size - 1) >> 6;
  for (uint64_t at = address >> 6; at <= last; ++at) {
    LineUse& use = uses[static_cast<uint32_t>(at)];
    merge(writes ? use.writers : use.readers, owner);
  }
}

void LineTable::visit(
    const std::function<void(uint32_t first, std::span<const LineUse> uses)>& visit) const {
  off_t at = 0;
  while ((at = lseek(file_, at, SEEK_DATA)) >= 0) {
    off_t end = lseek(file_, at, SEEK_HOLE);
    if (end < 0) end = static_cast<off_t>(size_);
    const auto* uses = reinterpret_cast<const LineUse*>(memory_ + at);
    visit(static_cast<uint32_t>(static_cast<uint64_t>(at) / sizeof(LineUse)),
          {uses, static_cast<size_t>(end - at) / sizeof(LineUse)});
    at = end;
  }
}

}  // namespace heddle
