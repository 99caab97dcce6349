// Where mappings lie, so that those of a run go to the same addresses whatever process it is made
// in.
#pragma once

#include <cstdint>
#include <vector>

#include "machine/kernel.h"
#include "trace_format/event.h"

namespace heddle::model {

// A value. A mapping lies where it lay in the recording, if that is free; else addresses are given
// from the top down, as Linux does without randomisation (mm/mmap.c, arch/x86/mm/mmap.c), but for
// the alignment of huge pages and of large files, which differs between versions.
class AddressSpace {
 public:
  AddressSpace() = default;
  explicit AddressSpace(const event::Exec& exec);

  // What becomes of mmap, munmap or mremap: an answer to be performed, its result the address of
  // the mapping (0: the request says where), or done with an error.
  // `recorded`: what the same call returned in the recording; 0: it was not made there.
  SyscallAnswer call(const SyscallRequest& request, uint64_t recorded = 0);

 private:
  struct Range {
    uint64_t start = 0, end = 0;
  };
  bool is_free(uint64_t start, uint64_t size) const;
  // At `wanted` if it can be; 0: there is no room.
  uint64_t place(uint64_t size, uint64_t wanted) const;
  void take(uint64_t start, uint64_t size);
  void release(uint64_t start, uint64_t size);
  SyscallAnswer map(const SyscallRequest& request, uint64_t recorded);
  SyscallAnswer remap(const SyscallRequest& request, uint64_t recorded);

  std::vector<Range> taken_;  // by address, none touching another
};

}  // namespace heddle::model
