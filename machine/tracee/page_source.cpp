#include "machine/tracee/page_source.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "machine/pages.h"
#include "machine/tracee/layout.h"

namespace heddle {

uint64_t hash_of_page(std::span<const uint8_t> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

size_t PageSource::read(uint64_t address, std::span<uint8_t> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = address + done;
    const CodePage& page = get(page_down(at));
    const size_t offset = at & 0xfff;
    if (offset >= page.size) break;
    const size_t n = std::min(out.size() - done, page.size - offset);
    std::memcpy(out.data() + done, page.bytes.data() + offset, n);
    done += n;
    if (offset + n < 0x1000) break;
  }
  return done;
}

const CodePage& PageSource::get(uint64_t address) const {
  if (last_ && last_address_ == address) return *last_;
  last_ = nullptr;
  last_address_ = address;
  if (const auto known = pages_.find(address); known != pages_.end())
    return *(last_ = &known->second);
  if (const auto known = changing_.find(address); known != changing_.end())
    return *(last_ = &known->second);
  if (running_ && !memory_.known_constant_code(address, epoch_)) throw NotNow();
  const bool code = !layout::machines_own(address) && memory_.executable(address, epoch_);
  CodePage& page = (code && !memory_.writable_code(address) ? pages_ : changing_)[address];
  if (code) page.size = memory_.read(address, page.bytes);
  const uint64_t hash = hash_of_page({page.bytes.data(), page.size});
  const auto [known, fresh] = hashes_.try_emplace(address >> 12, PageHash{hash, false});
  // What the program makes at run time is another in the next run.
  if ((!fresh && known->second.hash != hash) || (code && memory_.writable_code(address)))
    known->second.changed = true;
  return *(last_ = &page);
}

}  // namespace heddle
