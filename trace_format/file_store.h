// The contents of files that a program executed or mapped, by digest: a trace's own, and one store
// that many traces share.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

namespace heddle {

// The store is a directory of files named by their digest (XXH3, 128 bits, as 32 hexadecimal
// digits), never changed once they are there, and `index`: a line for each file that was ever
// pinned, "device inode size mtime ctime digest" (times in ns), so that one that looks as it did is
// not read again. A trace has hard links to the store's files, or copies where the two are on
// different file systems; it never depends on the store.
class FileStore {
 public:
  // `files`: the trace's own directory, which exists. `shared`: the store, made where it is
  // missing; empty, or of no use (not writable, say): the trace does without.
  FileStore(std::filesystem::path files, std::filesystem::path shared);

  // Puts the file's contents into the trace, once; returns their digest. Throws std::system_error
  // that names the file.
  std::string pin(const std::filesystem::path& file);
  std::string pin(std::span<const uint8_t> contents);
  // Of what `source` gives: bytes until it gives none.
  using Source = std::function<size_t(std::span<uint8_t>)>;
  std::string pin(const Source& source);

 private:
  // Device, inode, size, modification and change time (ns) of a file.
  using Looks = std::array<uint64_t, 5>;

  struct Copy {
    std::filesystem::path path;
    std::string digest;
  };
  Copy copy(int from, const std::filesystem::path& file, const std::filesystem::path& directory);
  Copy copy(const Source& source, const std::filesystem::path& directory);
  void put(const Copy& copy);
  void place(const Copy& copy);
  bool take_from_store(const std::string& digest, uint64_t size);
  void make_store();
  void read_index();
  void remember(const Looks& looks, const std::string& digest);

  std::filesystem::path files_, shared_;
  std::map<Looks, std::string> known_;   // of this trace: pinned already
  std::map<Looks, std::string> stored_;  // the index
};

// Removes what no trace has a link to from a shared store; returns how many bytes that were. Files
// younger than an hour stay: a recorder may be about to link them. Throws std::system_error.
uint64_t remove_unused_files(const std::filesystem::path& shared);

}  // namespace heddle
