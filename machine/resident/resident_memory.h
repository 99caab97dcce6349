// A guest's address space inside the supervisor's own process, with a way back to a marked state.
//
// Everything lies at the guest's addresses, so the supervisor must not have put anything there: it
// runs with a randomised layout, and the guest's has none. Going back costs a copy of each page
// that was ever written since the mark: writes are found by protection faults, the first time only.
#pragma once

#include <signal.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "machine/guest_memory.h"
#include "machine/tracee/layout.h"

namespace heddle {

// This process or processor cannot hold the guest; another way to run it can.
class ResidentUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// At most one in a process. Not for processes with more than one thread.
class ResidentMemory final : public GuestMemory {
 public:
  // Reserves the machine's own ranges (machine/tracee/layout.h). Throws ResidentUnavailable where
  // something else lies there.
  ResidentMemory();
  ~ResidentMemory() override;
  ResidentMemory(const ResidentMemory&) = delete;
  ResidentMemory& operator=(const ResidentMemory&) = delete;

  size_t read(uint64_t address, std::span<uint8_t> out) const override;
  bool write(uint64_t address, std::span<const uint8_t> bytes) override;
  bool executable(uint64_t address, uint64_t epoch) const override;
  bool write_as_guest(uint64_t address, std::span<const uint8_t> bytes) override;

  // Is any of it executable?
  bool holds_code(uint64_t start, uint64_t size) const;

  // The address-space calls: results as those of mmap(2) and its like. `address` is exact. Private
  // mappings only; of `file` (an open descriptor, -1: anonymous) from `offset` on.
  int64_t map(uint64_t address, uint64_t size, uint32_t prot, int file = -1, uint64_t offset = 0);
  int64_t unmap(uint64_t address, uint64_t size);
  int64_t protect(uint64_t address, uint64_t size, uint32_t prot);
  int64_t remap(uint64_t address, uint64_t size, uint64_t new_address, uint64_t new_size);
  // MADV_DONTNEED; other advice is the caller's to ignore.
  int64_t forget(uint64_t address, uint64_t size);

  // From here on rewind() comes back to this state. Once.
  void mark();
  void rewind();
  // Pages that rewind() copies.
  size_t saved_pages() const;

  // Of the fault handler. A write that the guest may do and that only the way back keeps from
  // happening: true, and it may be done now.
  static bool handle_write_fault(uint64_t address) noexcept;

 private:
  struct Range {
    uint64_t start = 0, end = 0;
    uint32_t prot = 0;     // the guest's
    bool tracked = false;  // there since mark(): written pages are saved first
    bool file = false;     // its pages have contents before anybody touches them
  };
  struct Saved;
  struct Changed {
    uint64_t start = 0, end = 0;
    bool replaced = false;  // not only its protection
  };

  const Range* range_at(uint64_t address) const;
  bool mapped(uint64_t start, uint64_t end) const;
  // Cuts [start, end) out of ranges_.
  void cut(uint64_t start, uint64_t end);
  void insert(const Range& range);
  // What is in there of tracked memory will be gone: keep its contents.
  void keep(uint64_t start, uint64_t end, bool replaced);
  bool is_saved(uint64_t page) const;
  void save(uint64_t page);
  void real_protect(const Range& range) const;
  void restore_changed();

  std::vector<Range> ranges_, marked_;               // by address
  std::vector<Changed> changed_;                     // since mark() or rewind()
  std::vector<std::pair<uint64_t, uint64_t>> kept_;  // wholly saved, or zero and not written
  std::unique_ptr<Saved> saved_;
  bool is_marked_ = false;
};

}  // namespace heddle
