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
#include <set>
#include <tuple>

#include "machine/tracee/code_cache.h"
#include "machine/tracee/saved_translations_file.h"

namespace heddle {

using namespace saved_file;

namespace {

// The file's contents, section by section.
class Writer {
 public:
  Writer() : data_(sizeof(Header)) {}
  template <typename T>
  Section add(const std::vector<T>& values, size_t alignment = 16) {
    data_.resize((data_.size() + alignment - 1) & ~(alignment - 1));
    const Section section{data_.size(), values.size()};
    const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
    data_.insert(data_.end(), bytes, bytes + values.size() * sizeof(T));
    return section;
  }
  std::vector<uint8_t>& data() { return data_; }

 private:
  std::vector<uint8_t> data_;
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
  void join(uint64_t a, uint64_t b) { parent_[find(a)] = find(b); }

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
  std::set<uint64_t> pads;
  struct Led {
    uint64_t block, host;
  };
  std::map<uint64_t, Led> led;
  std::unordered_map<uint64_t, uint64_t> hashes;  // by page
  if (auto* saved = cache.saved_.get()) {
    for (uint32_t i = 0; i < saved->states_.size(); ++i) {
      if (saved->states_[i] == State::out_of_use) continue;
      for (const auto& pad : saved->pads(i)) pads.insert(pad.host + pad.landing.offset);
      for (const auto& [key, entry] : saved->entries(i))
        led[key] = {entry.block->host, entry.address()};
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
      for (const auto& pad : list) pads.insert(pad.host);
  for (const auto& [key, entry] : cache.by_entry_) led[key] = {entry.block->host, entry.address()};
  for (const auto& [page, hash] : cache.hashes_) {
    if (hash.changed)
      hashes.erase(page);
    else
      hashes[page] = hash.hash;
  }

  // Blocks that are led to, of code that has not changed.
  std::set<uint64_t> wanted;
  for (const auto& [key, to] : led) wanted.insert(to.block);
  std::vector<const Block*> kept;
  for (const auto* block : candidates) {
    const bool is_pad = block->pad && pads.contains(block->host + block->landing.offset);
    if (!is_pad && !wanted.contains(block->host)) continue;
    bool fit = std::ranges::none_of(block->exits, [](const translator::ExitSite& site) {
      return site.kind == translator::ExitKind::unreadable;
    });
    for (uint64_t page = block->pc >> 12; page <= (block->end - 1) >> 12; ++page)
      fit = fit && hashes.contains(page);
    if (fit) kept.push_back(block);
  }
  std::ranges::sort(kept, {}, &Block::host);
  std::unordered_map<uint64_t, uint32_t> index;  // in kept, by host address
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
      const auto to = led.find(entry_key(link.target, link.lent));
      const auto far = to == led.end() || !index.contains(to->second.block)
                           ? INT64_MAX
                           : static_cast<int64_t>(to->second.host - (field + 4));
      auto displacement = static_cast<int32_t>(far);
      if (displacement == far)
        regions.join(region(block->pc), region(link.target));
      else
        displacement = static_cast<int32_t>(link.stub - (link.offset + 4));
      std::memcpy(bytes + link.offset, &displacement, sizeof displacement);
    }
  }
  std::map<uint64_t, uint32_t> cluster_of;  // by the root of its regions
  std::vector<std::set<uint64_t>> cluster_pages;
  std::vector<SavedBlock> blocks;
  std::vector<translator::ExitSite> exits;
  std::vector<translator::Link> links;
  std::vector<uint8_t> origins;
  std::vector<translator::InnerEntry> inner;
  std::vector<translator::SplitEntry> splits;
  std::vector<translator::IndirectTransfer> indirects;
  std::vector<Entry> entries;
  std::vector<Pad> kept_pads;
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
      cluster_pages[cluster].insert(page);
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
    if (block->pad && pads.contains(block->host + block->landing.offset))
      kept_pads.push_back({block->pc, block->host, block->landing, cluster});
    blocks.push_back(out);
  }
  for (const auto& [key, to] : led)  // by key
    if (const auto at = index.find(to.block); at != index.end())
      entries.push_back({key, to.host, at->second, blocks[at->second].cluster});
  std::vector<Cluster> clusters;
  std::vector<Page> pages;
  for (const auto& of_cluster : cluster_pages) {
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
  auto& data = writer.data();
  std::memcpy(data.data(), &header, sizeof header);
  constexpr size_t kChecked = offsetof(Header, build);
  header.checksum = XXH3_64bits(data.data() + kChecked, data.size() - kChecked);
  std::memcpy(data.data(), &header, sizeof header);

  if (::write(fd, data.data(), data.size()) != static_cast<ssize_t>(data.size()) ||
      rename(fresh.c_str(), path.c_str()) != 0)
    unlink(fresh.c_str());
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

// Nobody waits for this process, so it keeps nothing of its parent's open but `fd`, handles no
// signal as it did, and is an ordinary one to the kernel. Returns the descriptor's number now.
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
