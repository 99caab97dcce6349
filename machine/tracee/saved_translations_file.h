// The file of saved translations: a header, and arrays where its sections say. It is of one build
// of heddle, so these are its structures as they are in memory.
#pragma once

#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "machine/tracee/saved_translations.h"

namespace heddle {
namespace saved_file {

constexpr uint64_t kMagic = 0x3273'6e61'7274'6468;  // "hdtrans2"
constexpr size_t kArenas = layout::kArenas.size();

struct SavedBlock {
  uint64_t host, pc, end;
  uint32_t size, entry, instructions, cluster;
  translator::Landing landing;
  uint8_t lent, pad;
  uint32_t exits, exit_count, links, link_count, origins, origin_count;
  uint32_t inner, inner_count, splits, split_count, indirects, indirect_count;
};

struct Entry {
  uint64_t key;
  uint64_t host;  // address
  uint32_t block;
  uint32_t cluster;
};

struct Page {
  uint64_t page;
  uint64_t hash;
};

struct Cluster {
  uint32_t pages, page_count;
  uint32_t pads, pad_count;
};

struct Section {
  uint64_t offset, count;
};

struct Header {
  uint64_t magic;
  uint64_t checksum;  // XXH3 of all that follows this field
  uint64_t build;     // of heddle
  uint64_t options;
  std::array<uint64_t, kArenas> used;
  Section blocks, exits, links, origins, inner, splits, indirects, entries, clusters, pages, pads;
  std::array<Section, kArenas> code;  // at multiples of the page size
};

// What of the options makes another translation.
uint64_t options_hash(const translator::Options& options);
// The hash of this program's build id; 0 if it has none.
uint64_t own_build();

// A file that was found to be whole has a time of last modification that says so: its nanoseconds
// are made of the checksum and of the id of this boot. Whatever changes the file changes them, and
// what a crash of the system leaves is looked at again.
bool is_sealed(const struct stat& status, uint64_t checksum);
void seal(int fd, uint64_t checksum);

// Landing pads that lead to each other: those of one kind and index.
template <typename Pad>
std::pair<bool, uint16_t> chain_of(const Pad& pad) {
  return {pad.landing.returns, pad.index()};
}

}  // namespace saved_file

// The mapped file. Its arrays are where the sections say.
struct SavedTranslations::File {
  const uint8_t* data = nullptr;
  size_t size = 0;

  ~File() {
    if (data) munmap(const_cast<uint8_t*>(data), size);
  }
  const saved_file::Header& header() const {
    return *reinterpret_cast<const saved_file::Header*>(data);
  }
  template <typename T>
  std::span<const T> array(const saved_file::Section& section) const {
    return {reinterpret_cast<const T*>(data + section.offset), section.count};
  }
  std::span<const saved_file::SavedBlock> blocks() const {
    return array<saved_file::SavedBlock>(header().blocks);
  }
  std::span<const saved_file::Entry> entries() const {
    return array<saved_file::Entry>(header().entries);
  }
  std::span<const saved_file::Cluster> clusters() const {
    return array<saved_file::Cluster>(header().clusters);
  }
  std::span<const saved_file::Page> pages(const saved_file::Cluster& cluster) const {
    return array<saved_file::Page>(header().pages).subspan(cluster.pages, cluster.page_count);
  }
};

}  // namespace heddle
