// Writing translations to a file: which blocks are worth keeping, and what leads where in them.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <span>
#include <tuple>

#include "machine/tracee/code_cache.h"
#include "machine/tracee/key_map.h"
#include "machine/tracee/saved_translations_file.h"

namespace heddle {

using namespace saved_file;

namespace {

// The file's contents: arrays, which must stay until they are written.
class Writer {
 public:
  template <typename T>
  Section add(const std::vector<T>& values, size_t alignment = 16) {
    size_ = (size_ + alignment - 1) & ~(alignment - 1);
    const Section section{size_, values.size()};
    parts_.push_back({size_, std::as_bytes(std::span(values))});
    size_ += parts_.back().bytes.size();
    return section;
  }

  // Sets the header's checksum. False where writing failed.
  bool write(int fd, Header& header) const {
    constexpr size_t kChecked = offsetof(Header, build);
    const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                         XXH3_freeState);
    if (!state) return false;
    XXH3_64bits_reset(state.get());
    const auto* first = reinterpret_cast<const uint8_t*>(&header);
    XXH3_64bits_update(state.get(), first + kChecked, sizeof header - kChecked);
    constexpr std::array<uint8_t, 0x1000> kGap{};
    size_t at = sizeof header;
    bool written = ftruncate(fd, static_cast<off_t>(size_)) == 0;
    for (const auto& [offset, bytes] : parts_) {
      XXH3_64bits_update(state.get(), kGap.data(), offset - at);
      XXH3_64bits_update(state.get(), bytes.data(), bytes.size());
      at = offset + bytes.size();
      written = written && put(fd, bytes, offset);
    }
    header.checksum = XXH3_64bits_digest(state.get());
    return written && put(fd, std::as_bytes(std::span(&header, 1)), 0);
  }

 private:
  struct Part {
    size_t offset;
    std::span<const std::byte> bytes;
  };
  static bool put(int fd, std::span<const std::byte> bytes, size_t offset) {
    return pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(bytes.size());
  }

  std::vector<Part> parts_;
  size_t size_ = sizeof(Header);
};

// Which regions of guest code are linked with which: a forest (union by attachment, with halving).
class Regions {
 public:
  uint64_t find(uint64_t region) {
    auto at = parent_.try_emplace(region, region).first;
    while (at->second != at->first) {
      const auto up = parent_.find(at->second);
      at->second = up->second;
      at = up;
    }
    return at->first;
  }
  void join(uint64_t a, uint64_t b) {
    if (a != b) parent_[find(a)] = find(b);
  }

 private:
  std::unordered_map<uint64_t, uint64_t> parent_;
};

uint64_t region(uint64_t pc) {
  return pc >> 16;
}

// Saved code keeps its place, and the gaps between what is kept of it are never filled: with code
// that is made anew in each run they would come to fill the arenas. Then the next run starts
// afresh.
bool is_wasted(const std::array<uint64_t, kArenas>& used, const std::vector<const Block*>& kept) {
  std::array<uint64_t, kArenas> bytes{};
  for (const auto* block : kept)
    for (size_t i = 0; i < kArenas; ++i)
      if (layout::kArenas[i].contains(block->host)) bytes[i] += block->size;
  for (size_t i = 0; i < kArenas; ++i) {
    const uint64_t all = used[i] - layout::kArenas[i].start;
    if (all > layout::kArenas[i].size / 4 && bytes[i] < all / 4 * 3) return true;
  }
  return false;
}

}  // namespace

void SavedTranslations::write(const std::string& path, const std::string& fresh, int fd,
                              const CodeCache& cache) {
  // What leads where: pads by their host addresses, entries by their keys.
  std::vector<const Block*> candidates;
  KeyMap<bool> pads;
  struct Led {
    uint64_t block = 0, host = 0;
  };
  KeyMap<Led> led;
  std::vector<uint64_t> keys;  // of led
  const auto lead = [&](uint64_t key, const BlockEntry& entry) {
    Led& to = led[key];
    if (to.host == 0) keys.push_back(key);
    to = {entry.block->host, entry.address()};
  };
  std::unordered_map<uint64_t, uint64_t> hashes;  // by page
  if (auto* saved = cache.saved_.get()) {
    for (uint32_t i = 0; i < saved->states_.size(); ++i) {
      if (saved->states_[i] == State::out_of_use) continue;
      for (const auto& pad : saved->pads(i)) pads[pad.host + pad.landing.offset] = true;
      for (const auto& [key, entry] : saved->entries(i)) lead(key, entry);
      for (const auto& page : saved->file_->pages(saved->file_->clusters()[i]))
        hashes.emplace(page.page, page.hash);
    }
    const auto blocks = saved->file_->blocks();
    for (uint32_t i = 0; i < blocks.size(); ++i) candidates.push_back(saved->block(i));
  }
  for (const auto& arena : cache.blocks_)
    for (const auto& block : arena) candidates.push_back(&block);
  for (const auto& of_kind : cache.pads_)
    for (const auto& [index, list] : of_kind)
      for (const auto& pad : list) pads[pad.host] = true;
  for (const auto& [key, entry] : cache.by_entry_) lead(key, entry);
  for (const auto& [page, hash] : cache.hashes_) {
    if (hash.changed)
      hashes.erase(page);
    else
      hashes[page] = hash.hash;
  }

  // Blocks that are led to, of code that has not changed.
  KeyMap<bool> wanted;
  for (const uint64_t key : keys) wanted[led[key].block] = true;
  std::vector<const Block*> kept;
  for (const auto* block : candidates) {
    const bool is_pad = block->pad && pads.find(block->host + block->landing.offset);
    if (!is_pad && !wanted.find(block->host)) continue;
    bool fit = std::ranges::none_of(block->exits, [](const translator::ExitSite& site) {
      return site.kind == translator::ExitKind::unreadable;
    });
    for (uint64_t page = block->pc >> 12; page <= (block->end - 1) >> 12; ++page)
      fit = fit && hashes.contains(page);
    if (fit) kept.push_back(block);
  }
  std::ranges::sort(kept, {}, &Block::host);
  KeyMap<uint32_t> index;  // in kept, by host address
  for (uint32_t i = 0; i < kept.size(); ++i) index[kept[i]->host] = i;
  if (is_wasted(cache.next_, kept)) {
    unlink(path.c_str());
    unlink(fresh.c_str());
    return;
  }

  Header header{};
  header.magic = kMagic;
  header.build = own_build();
  header.options = options_hash(cache.options_);
  header.used = cache.next_;
  std::array<std::vector<uint8_t>, kArenas> code;
  for (size_t i = 0; i < kArenas; ++i) {
    const uint8_t* from = cache.code_->arenas[i];
    code[i].assign(from + layout::kHotStateSize,
                   from + (cache.next_[i] - layout::kArenas[i].start));
    if (!cache.saved_) continue;
    // As it was, wherever it is patched meanwhile.
    const auto& file = *cache.saved_->file_;
    const auto before = file.array<uint8_t>(file.header().code[i]);
    std::ranges::copy(before, code[i].begin());
  }
  const auto bytes_at = [&](uint64_t host) {
    size_t arena = 0;
    while (!layout::kArenas[arena].contains(host)) ++arena;
    return code[arena].data() + (host - layout::kArenas[arena].start - layout::kHotStateSize);
  };
  // Links lead to what is kept, or to their stubs.
  Regions regions;
  for (const auto* block : kept) {
    uint8_t* bytes = bytes_at(block->host);
    for (const auto& link : block->links) {
      const uint64_t field = block->host + link.offset;
      const Led* to = led.find(entry_key(link.target, link.lent));
      const auto far =
          to && index.find(to->block) ? static_cast<int64_t>(to->host - (field + 4)) : INT64_MAX;
      auto displacement = static_cast<int32_t>(far);
      if (displacement == far)
        regions.join(region(block->pc), region(link.target));
      else
        displacement = static_cast<int32_t>(link.stub - (link.offset + 4));
      std::memcpy(bytes + link.offset, &displacement, sizeof displacement);
    }
  }
  std::map<uint64_t, uint32_t> cluster_of;  // by the root of its regions
  std::vector<std::vector<uint64_t>> cluster_pages;
  std::vector<SavedBlock> blocks;
  std::vector<translator::ExitSite> exits;
  std::vector<translator::Link> links;
  std::vector<uint8_t> origins;
  std::vector<translator::InnerEntry> inner;
  std::vector<translator::SplitEntry> splits;
  std::vector<translator::IndirectTransfer> indirects;
  std::vector<Entry> entries;
  std::vector<Pad> kept_pads;
  const auto reserve = [&](auto& to, auto of) {
    size_t count = 0;
    for (const auto* block : kept) count += (block->*of).size();
    to.reserve(count);
  };
  blocks.reserve(kept.size());
  reserve(exits, &Block::exits);
  reserve(links, &Block::links);
  reserve(origins, &Block::origins);
  reserve(inner, &Block::inner);
  const auto append = [](auto& to, const auto& from, uint32_t& first, uint32_t& count) {
    first = static_cast<uint32_t>(to.size());
    count = static_cast<uint32_t>(from.size());
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const auto* block : kept) {
    const auto next = static_cast<uint32_t>(cluster_of.size());
    const uint32_t cluster =
        cluster_of.try_emplace(regions.find(region(block->pc)), next).first->second;
    if (cluster == cluster_pages.size()) cluster_pages.emplace_back();
    for (uint64_t page = block->pc >> 12; page <= (block->end - 1) >> 12; ++page)
      if (auto& all = cluster_pages[cluster]; all.empty() || all.back() != page)
        all.push_back(page);
    SavedBlock out{};
    out.host = block->host;
    out.pc = block->pc;
    out.end = block->end;
    out.size = block->size;
    out.entry = block->entry;
    out.instructions = block->instructions;
    out.cluster = cluster;
    out.landing = block->landing;
    out.lent = block->lent;
    out.pad = block->pad;
    append(exits, block->exits, out.exits, out.exit_count);
    append(links, block->links, out.links, out.link_count);
    append(origins, block->origins, out.origins, out.origin_count);
    append(inner, block->inner, out.inner, out.inner_count);
    append(splits, block->splits, out.splits, out.split_count);
    append(indirects, block->indirects, out.indirects, out.indirect_count);
    if (block->pad && pads.find(block->host + block->landing.offset))
      kept_pads.push_back({block->pc, block->host, block->landing, cluster});
    blocks.push_back(out);
  }
  std::ranges::sort(keys);
  for (const uint64_t key : keys) {
    const Led& to = led[key];
    if (const uint32_t* at = index.find(to.block))
      entries.push_back({key, to.host, *at, blocks[*at].cluster});
  }
  std::vector<Cluster> clusters;
  std::vector<Page> pages;
  for (auto& of_cluster : cluster_pages) {
    std::ranges::sort(of_cluster);
    of_cluster.erase(std::ranges::unique(of_cluster).begin(), of_cluster.end());
    clusters.push_back(
        {static_cast<uint32_t>(pages.size()), static_cast<uint32_t>(of_cluster.size()), 0, 0});
    for (const uint64_t page : of_cluster) pages.push_back({page, hashes.at(page)});
  }
  std::ranges::sort(kept_pads, {}, [](const Pad& pad) {
    return std::tuple(pad.cluster, pad.landing.returns, pad.index(), pad.pc);
  });
  for (size_t i = 0; i < kept_pads.size(); ++i) {
    const Pad& pad = kept_pads[i];
    const Pad* next = i + 1 < kept_pads.size() ? &kept_pads[i + 1] : nullptr;
    const bool last = !next || next->cluster != pad.cluster || chain_of(*next) != chain_of(pad);
    const uint64_t to = !last                 ? next->host + next->landing.offset
                        : pad.landing.returns ? cache.code_->return_miss
                                              : cache.code_->lookup_miss;
    std::memcpy(bytes_at(pad.host) + pad.landing.next, &to, sizeof to);
    auto& cluster = clusters[pad.cluster];
    if (cluster.pad_count++ == 0) cluster.pads = static_cast<uint32_t>(i);
  }

  Writer writer;
  header.blocks = writer.add(blocks);
  header.exits = writer.add(exits);
  header.links = writer.add(links);
  header.origins = writer.add(origins);
  header.inner = writer.add(inner);
  header.splits = writer.add(splits);
  header.indirects = writer.add(indirects);
  header.entries = writer.add(entries);
  header.clusters = writer.add(clusters);
  header.pages = writer.add(pages);
  header.pads = writer.add(kept_pads);
  for (size_t i = 0; i < kArenas; ++i) header.code[i] = writer.add(code[i], 0x1000);
  const bool written = writer.write(fd, header);
  if (written) seal(fd, header.checksum);
  if (!written || rename(fresh.c_str(), path.c_str()) != 0) unlink(fresh.c_str());
}

namespace {

// The file that takes the place of another when it is complete, locked as long as it is written;
// -1: another process writes it, or none can. What a killed one left is overwritten.
int open_fresh(const std::string& fresh) {
  const int fd = open(fresh.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  struct stat ours {
  }, there{};
  if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 &&
      stat(fresh.c_str(), &there) == 0 && ours.st_ino == there.st_ino && ftruncate(fd, 0) == 0)
    return fd;
  close(fd);
  return -1;
}

// Nobody waits for this process, so it keeps nothing of its parent's open but `fd` and handles no
// signal as it did. Returns the descriptor's number now.
int stand_apart(int fd) {
  constexpr int kKept = 3;
  const int nothing = open("/dev/null", O_RDWR);
  for (int i = 0; i < kKept; ++i) dup2(nothing, i);
  dup2(fd, kKept);
  close_range(kKept + 1, ~0u, 0);
  for (int signal = 1; signal < SIGRTMIN; ++signal) std::signal(signal, SIG_DFL);
  return kKept;
}

}  // namespace

bool SavedTranslations::write_apart(const std::string& path, const CodeCache& cache) {
  if (own_build() == 0) return false;
  const std::string fresh = path + ".new";
  const int fd = open_fresh(fresh);
  if (fd < 0) return false;
  const auto write_to = [&](int to) {
    try {
      write(path, fresh, to, cache);
    } catch (const std::exception&) {
      unlink(fresh.c_str());  // out of memory, say: the next run translates again
    }
  };
  // A child's child, which is not this process's to wait for.
  const pid_t child = fork();
  if (child == 0) {
    const pid_t writer = fork();
    if (writer == 0) write_to(stand_apart(fd));
    _exit(writer < 0 ? 1 : 0);
  }
  int status = 1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const bool apart = child > 0 && status == 0;
  if (!apart) write_to(fd);
  close(fd);
  return apart;
}

}  // namespace heddle
