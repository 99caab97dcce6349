#include "machine/tracee/saved_translations.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <tuple>

#include "machine/tracee/code_cache.h"

namespace heddle {
namespace {

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

uint64_t options_hash(const translator::Options& options) {
  return (options.fast ? 1 : 0) | (options.runtime_syscalls ? 2 : 0) |
         uint64_t{options.max_instructions} << 8;
}

// The hash of this program's build id; 0 if it has none.
uint64_t own_build() {
  static const uint64_t id = [] {
    uint64_t found = 0;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* out) {
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            if (info->dlpi_phdr[i].p_type != PT_NOTE) continue;
            const auto* at =
                reinterpret_cast<const uint8_t*>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
            const auto* end = at + info->dlpi_phdr[i].p_memsz;
            while (at + sizeof(ElfW(Nhdr)) <= end) {
              ElfW(Nhdr) note;
              std::memcpy(&note, at, sizeof note);
              const auto* name = at + sizeof note;
              const auto* description = name + ((note.n_namesz + 3) & ~3u);
              if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4)
                *static_cast<uint64_t*>(out) = XXH3_64bits(description, note.n_descsz);
              at = description + ((note.n_descsz + 3) & ~3u);
            }
          }
          return 1;  // the first is the program itself
        },
        &found);
    return found;
  }();
  return id;
}

// Landing pads that lead to each other: those of one kind and index.
template <typename Pad>
std::pair<bool, uint16_t> chain_of(const Pad& pad) {
  return {pad.landing.returns, pad.index()};
}

struct Close {
  int fd;
  ~Close() { close(fd); }
};

}  // namespace

std::filesystem::path translations_of(const std::filesystem::path& directory,
                                      const std::string& program) {
  if (directory.empty()) return {};
  char name[17];
  std::snprintf(name, sizeof name, "%016llx",
                static_cast<unsigned long long>(XXH3_64bits(program.data(), program.size())));
  return directory / name;
}

// The mapped file. Its arrays are where the sections say.
struct SavedTranslations::File {
  const uint8_t* data = nullptr;
  size_t size = 0;

  ~File() {
    if (data) munmap(const_cast<uint8_t*>(data), size);
  }
  const Header& header() const { return *reinterpret_cast<const Header*>(data); }
  template <typename T>
  std::span<const T> array(const Section& section) const {
    return {reinterpret_cast<const T*>(data + section.offset), section.count};
  }
  std::span<const SavedBlock> blocks() const { return array<SavedBlock>(header().blocks); }
  std::span<const Entry> entries() const { return array<Entry>(header().entries); }
  std::span<const Cluster> clusters() const { return array<Cluster>(header().clusters); }
  std::span<const Page> pages(const Cluster& cluster) const {
    return array<Page>(header().pages).subspan(cluster.pages, cluster.page_count);
  }
};

SavedTranslations::~SavedTranslations() = default;

std::unique_ptr<SavedTranslations> SavedTranslations::read(const std::string& path,
                                                           const translator::Options& options,
                                                           HostProcess& process) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  const Close close_it{fd};
  struct stat status {};
  auto file = std::make_unique<File>();
  if (fstat(fd, &status) == 0 && static_cast<size_t>(status.st_size) >= sizeof(Header)) {
    file->size = static_cast<size_t>(status.st_size);
    void* at = mmap(nullptr, file->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (at != MAP_FAILED) file->data = static_cast<const uint8_t*>(at);
  }
  if (!file->data) return nullptr;
  const Header& header = file->header();
  constexpr size_t kChecked = offsetof(Header, build);
  if (header.magic != kMagic || header.build != own_build() || own_build() == 0 ||
      header.options != options_hash(options) ||
      header.checksum != XXH3_64bits(file->data + kChecked, file->size - kChecked))
    return nullptr;
  std::array<HostProcess::FilePart, kArenas> parts;
  for (size_t i = 0; i < kArenas; ++i) parts[i] = {header.code[i].offset, header.code[i].count};
  if (!process.map_translations(path, fd, parts)) {
    const auto code = process.shared_code();
    for (size_t i = 0; i < kArenas; ++i) {
      const auto bytes = file->array<uint8_t>(header.code[i]);
      if (bytes.empty()) continue;
      uint8_t* to = code->arenas[i] + layout::kHotStateSize;
      madvise(to, bytes.size(), MADV_POPULATE_WRITE);  // or by faults
      std::memcpy(to, bytes.data(), bytes.size());
    }
  }
  std::unique_ptr<SavedTranslations> saved(new SavedTranslations);
  saved->states_.resize(file->clusters().size(), State::unknown);
  saved->file_ = std::move(file);
  return saved;
}

std::unique_ptr<SavedTranslations> SavedTranslations::share() const {
  std::unique_ptr<SavedTranslations> other(new SavedTranslations);
  other->file_ = file_;
  other->states_ = states_;
  return other;
}

const std::array<uint64_t, kArenas>& SavedTranslations::used() const {
  return file_->header().used;
}

size_t SavedTranslations::size() const {
  return file_->blocks().size();
}

const Block* SavedTranslations::block(uint32_t index) {
  const auto [at, fresh] = blocks_.try_emplace(index);
  Block& out = at->second;
  if (!fresh) return &out;
  const SavedBlock& in = file_->blocks()[index];
  const Header& h = file_->header();
  out.host = in.host;
  out.pc = in.pc;
  out.end = in.end;
  out.size = in.size;
  out.entry = in.entry;
  out.instructions = in.instructions;
  out.lent = in.lent != 0;
  out.pad = in.pad != 0;
  out.landing = in.landing;
  out.exits = file_->array<translator::ExitSite>(h.exits).subspan(in.exits, in.exit_count);
  out.links = file_->array<translator::Link>(h.links).subspan(in.links, in.link_count);
  out.origins = file_->array<uint8_t>(h.origins).subspan(in.origins, in.origin_count);
  out.inner = file_->array<translator::InnerEntry>(h.inner).subspan(in.inner, in.inner_count);
  out.splits = file_->array<translator::SplitEntry>(h.splits).subspan(in.splits, in.split_count);
  out.indirects = file_->array<translator::IndirectTransfer>(h.indirects)
                      .subspan(in.indirects, in.indirect_count);
  return &out;
}

std::optional<uint64_t> SavedTranslations::find(uint64_t key) const {
  const auto entries = file_->entries();
  const auto at = std::ranges::lower_bound(entries, key, {}, &Entry::key);
  if (at == entries.end() || at->key != key || states_[at->cluster] != State::in_use)
    return std::nullopt;
  return at->host;
}

std::optional<uint32_t> SavedTranslations::candidate(uint64_t key) const {
  const auto entries = file_->entries();
  const auto at = std::ranges::lower_bound(entries, key, {}, &Entry::key);
  if (at == entries.end() || at->key != key || states_[at->cluster] != State::unknown)
    return std::nullopt;
  return at->cluster;
}

bool SavedTranslations::verify(uint32_t cluster, const GuestMemory& memory, uint64_t epoch,
                               PageHashes& hashes) {
  const auto pages = file_->pages(file_->clusters()[cluster]);
  std::vector<uint8_t> bytes;
  bool same = true;
  for (size_t i = 0; i < pages.size() && same;) {
    size_t run = 1;  // pages in a row, read at once
    while (i + run < pages.size() && run < 64 && pages[i + run].page == pages[i].page + run) ++run;
    bytes.resize(run * 0x1000);
    same = memory.read(pages[i].page << 12, bytes) == bytes.size();
    for (size_t k = 0; k < run && same; ++k)
      same = memory.executable((pages[i].page + k) << 12, epoch) &&
             hash_of_page(std::span(bytes).subspan(k * 0x1000, 0x1000)) == pages[i + k].hash;
    i += run;
  }
  if (!same) states_[cluster] = State::out_of_use;
  if (same)
    for (const auto& page : pages) hashes.try_emplace(page.page, PageHash{page.hash, false});
  return same;
}

void SavedTranslations::use(uint32_t cluster) {
  states_[cluster] = State::in_use;
}

std::span<const SavedTranslations::Pad> SavedTranslations::pads(uint32_t cluster) const {
  const Cluster& in = file_->clusters()[cluster];
  return file_->array<Pad>(file_->header().pads).subspan(in.pads, in.pad_count);
}

std::vector<SavedTranslations::Pad> SavedTranslations::pads_in_use(uint16_t index,
                                                                   bool returns) const {
  std::vector<Pad> found;
  for (uint32_t i = 0; i < states_.size(); ++i) {
    if (states_[i] != State::in_use) continue;
    const auto all =
        std::ranges::equal_range(pads(i), std::pair(returns, index), {}, chain_of<Pad>);
    found.insert(found.end(), all.begin(), all.end());
  }
  return found;
}

const Block* SavedTranslations::block_at(uint64_t host) {
  const auto blocks = file_->blocks();
  const auto next = std::ranges::upper_bound(blocks, host, {}, &SavedBlock::host);
  if (next == blocks.begin()) return nullptr;
  const auto index = static_cast<uint32_t>(next - blocks.begin() - 1);
  return host - blocks[index].host < blocks[index].size ? block(index) : nullptr;
}

std::vector<uint32_t> SavedTranslations::in_use(uint64_t start, uint64_t end) const {
  std::vector<uint32_t> found;
  for (uint32_t i = 0; i < states_.size(); ++i) {
    if (states_[i] != State::in_use) continue;
    const auto pages = file_->pages(file_->clusters()[i]);
    const auto first = std::ranges::lower_bound(pages, start >> 12, {}, &Page::page);
    if (first != pages.end() && first->page << 12 < end) found.push_back(i);
  }
  return found;
}

std::vector<std::pair<uint64_t, BlockEntry>> SavedTranslations::entries(uint32_t cluster) {
  std::vector<std::pair<uint64_t, BlockEntry>> out;
  for (const auto& entry : file_->entries()) {
    if (entry.cluster != cluster) continue;
    const Block* in = block(entry.block);
    out.push_back({entry.key, {in, static_cast<uint32_t>(entry.host - in->host)}});
  }
  return out;
}

std::vector<const Block*> SavedTranslations::take(uint32_t cluster) {
  states_[cluster] = State::out_of_use;
  std::vector<const Block*> out;
  const auto blocks = file_->blocks();
  for (uint32_t i = 0; i < blocks.size(); ++i)
    if (blocks[i].cluster == cluster) out.push_back(block(i));
  return out;
}

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

bool SavedTranslations::write(const std::string& path, const CodeCache& cache) {
  if (own_build() == 0) return true;
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
    std::filesystem::remove(path);
    return true;
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

  const std::string fresh = path + "." + std::to_string(getpid());
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool written = ::write(fd, data.data(), data.size()) == static_cast<ssize_t>(data.size());
  close(fd);
  if (written && rename(fresh.c_str(), path.c_str()) == 0) return true;
  unlink(fresh.c_str());
  return false;
}

}  // namespace heddle
