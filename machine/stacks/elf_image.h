// An ELF file as it lies in the guest: segments, sections and symbols at guest addresses.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "machine/stacks/module.h"
#include "machine/stacks/table_bytes.h"

struct Elf;

namespace heddle {

class ElfImage {
 public:
  struct Segment {
    uint64_t start = 0;  // guest address
    uint64_t end = 0;    // of what memory holds; the file may hold less
    bool writable = false;
    bool executable = false;
    TableBytes contents;  // the file's part
  };
  struct Section {
    uint64_t address = 0;  // guest address, 0 where it is not loaded
    TableBytes contents;   // decompressed
  };

  // Nothing where the file is no ELF program or library for x86-64.
  static std::unique_ptr<ElfImage> open(const Module& module);
  ~ElfImage();
  ElfImage(const ElfImage&) = delete;
  ElfImage& operator=(const ElfImage&) = delete;

  const Module& module() const { return module_; }
  // Guest address minus the address that the file was linked for.
  uint64_t bias() const { return bias_; }
  // Guest addresses of the loaded segments: [start, end).
  uint64_t start() const { return start_; }
  uint64_t end() const { return end_; }
  const std::vector<Segment>& segments() const { return segments_; }
  // The segment that `address` is in.
  const Segment* segment(uint64_t address) const;

  // What a library calls itself (DT_SONAME); empty in programs.
  std::string soname() const;
  std::optional<Section> section(std::string_view name) const;
  // .eh_frame_hdr, found without section headers.
  std::optional<Section> eh_frame_header() const;
  // The file's bytes from a guest address to the end of its segment; empty outside of the file.
  TableBytes at(uint64_t address) const;
  // The pointer at a guest address after the dynamic linker's relative relocations.
  std::optional<uint64_t> pointer(uint64_t address) const;

  // libelf's handle, for libdw.
  Elf* elf() const { return elf_; }

 private:
  explicit ElfImage(const Module& module) : module_(module) {}
  bool load();

  Module module_;
  int fd_ = -1;
  Elf* elf_ = nullptr;
  uint64_t bias_ = 0;
  uint64_t start_ = 0;
  uint64_t end_ = 0;
  uint64_t eh_frame_header_ = 0;  // guest address
  std::vector<Segment> segments_;
  // Linked address of a word to what it holds: linked addresses too. Read on first use.
  mutable std::optional<std::unordered_map<uint64_t, uint64_t>> relative_;
};

}  // namespace heddle
