#include "machine/tracee/saved_translations.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "machine/tracee/host_process.h"
#include "machine/tracee/saved_translations_file.h"

namespace heddle {

using namespace saved_file;

namespace {

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
    void* at = mmap(nullptr, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at != MAP_FAILED) file->data = static_cast<const uint8_t*>(at);
  }
  if (!file->data) return nullptr;
  const Header& header = file->header();
  constexpr size_t kChecked = offsetof(Header, build);
  if (header.magic != kMagic || header.build != own_build() || own_build() == 0 ||
      header.options != options_hash(options))
    return nullptr;
  if (!is_sealed(status, header.checksum)) {
    madvise(const_cast<uint8_t*>(file->data), file->size, MADV_POPULATE_READ);  // or by faults
    if (header.checksum != XXH3_64bits(file->data + kChecked, file->size - kChecked))
      return nullptr;
    seal(fd, header.checksum);
  }
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
    const auto all = pads(i);
    const std::pair chain(returns, index);
    found.insert(found.end(), std::ranges::lower_bound(all, chain, {}, chain_of<Pad>),
                 std::ranges::upper_bound(all, chain, {}, chain_of<Pad>));
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
}  // namespace heddle
