// Translations of an earlier run, in a file: used again where the guest has the same code at the
// same place.
//
// Blocks are grouped into clusters: those that direct transfers link with each other, a module in
// practice. A cluster is used from the moment that one of its blocks is wanted and all of its pages
// hold what they did when they were translated; otherwise never. The file is of one heddle (by its
// build id) and one kind of translation. The process maps its code: only what is executed is ever
// read from it, and what is patched is a copy of the process's own.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "machine/guest_memory.h"
#include "machine/tracee/block.h"
#include "machine/tracee/layout.h"
#include "machine/tracee/page_source.h"

namespace heddle {

class CodeCache;
class HostProcess;

// The file in `directory` for the translations of a program, by its path; empty without a
// directory.
std::filesystem::path translations_of(const std::filesystem::path& directory,
                                      const std::string& program);

class SavedTranslations {
 public:
  struct Pad {
    uint64_t pc;
    uint64_t host;  // of its block
    translator::Landing landing;
    uint32_t cluster;

    uint16_t index() const { return static_cast<uint16_t>(pc); }
  };

  // Nothing where the file is missing, damaged, of another heddle or of other options. Puts its
  // code into the arenas of the process.
  static std::unique_ptr<SavedTranslations> read(const std::string& path,
                                                 const translator::Options& options,
                                                 HostProcess& process);
  // Has a process of its own, for which nobody waits, write the cache's translations in place of
  // what is at `path`. It may be killed: `path` is replaced at once or not at all, and until then
  // there is a file of that name with ".new" behind it. Nothing is written while another process
  // does. True: that process shares this one's memory until it is done.
  static bool write_apart(const std::string& path, const CodeCache& cache);

  ~SavedTranslations();
  SavedTranslations(const SavedTranslations&) = delete;
  SavedTranslations& operator=(const SavedTranslations&) = delete;

  // One past the last byte of saved code in each arena.
  const std::array<uint64_t, layout::kArenas.size()>& used() const;
  size_t size() const;  // blocks

  std::unique_ptr<SavedTranslations> share() const;  // in the same state

  // Where that entry is, if its cluster is in use.
  std::optional<uint64_t> find(uint64_t key) const;
  // The cluster of that entry, if it is not in use yet but may be.
  std::optional<uint32_t> candidate(uint64_t key) const;
  // Compares the cluster's code with the guest's; where it is another it is never in use. `hashes`
  // learns its pages.
  bool verify(uint32_t cluster, const GuestMemory& memory, uint64_t epoch, PageHashes& hashes);
  void use(uint32_t cluster);  // from now on
  // All landing pads of a cluster, by kind and index: those of one index lead to each other in this
  // order, and the last to what is no pad.
  std::span<const Pad> pads(uint32_t cluster) const;
  // Those with this index, of the clusters in use.
  std::vector<Pad> pads_in_use(uint16_t index, bool returns) const;
  // The block at a host address, in use or not.
  const Block* block_at(uint64_t host);
  // Clusters in use that have code in [start, end).
  std::vector<uint32_t> in_use(uint64_t start, uint64_t end) const;
  std::vector<std::pair<uint64_t, BlockEntry>> entries(uint32_t cluster);  // by key
  // All blocks of a cluster, which is not used by way of this class any more.
  std::vector<const Block*> take(uint32_t cluster);

 private:
  struct File;
  enum class State : uint8_t { unknown, in_use, out_of_use };
  SavedTranslations() = default;
  static void write(const std::string& path, const std::string& fresh, int fd,
                    const CodeCache& cache);
  const Block* block(uint32_t index);

  std::shared_ptr<const File> file_;
  std::vector<State> states_;                   // by cluster
  std::unordered_map<uint32_t, Block> blocks_;  // those that were asked for
};

}  // namespace heddle
