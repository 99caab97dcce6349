#include "machine/stacks/elf_image.h"

#include <fcntl.h>
#include <gelf.h>
#include <unistd.h>

#include <algorithm>

namespace heddle {

std::unique_ptr<ElfImage> ElfImage::open(const Module& module) {
  elf_version(EV_CURRENT);
  std::unique_ptr<ElfImage> image(new ElfImage(module));
  return image->load() ? std::move(image) : nullptr;
}

ElfImage::~ElfImage() {
  if (elf_) elf_end(elf_);
  if (fd_ >= 0) close(fd_);
}

bool ElfImage::load() {
  fd_ = ::open(module_.file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) return false;
  elf_ = elf_begin(fd_, ELF_C_READ_MMAP, nullptr);
  GElf_Ehdr header;
  if (!elf_ || elf_kind(elf_) != ELF_K_ELF || !gelf_getehdr(elf_, &header)) return false;
  if (header.e_machine != EM_X86_64 || header.e_ident[EI_CLASS] != ELFCLASS64) return false;
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) return false;

  size_t raw_size = 0;
  const auto* raw = reinterpret_cast<const uint8_t*>(elf_rawfile(elf_, &raw_size));
  size_t count = 0;
  if (!raw || elf_getphdrnum(elf_, &count) != 0) return false;
  uint64_t eh_frame_header = 0;
  bool first = true;
  for (size_t i = 0; i < count; ++i) {
    GElf_Phdr program;
    if (!gelf_getphdr(elf_, static_cast<int>(i), &program)) return false;
    if (program.p_type == PT_GNU_EH_FRAME) eh_frame_header = program.p_vaddr;
    if (program.p_type != PT_LOAD) continue;
    if (first) bias_ = module_.base - (program.p_vaddr - program.p_offset);
    first = false;
    Segment segment;
    segment.start = program.p_vaddr + bias_;
    segment.end = segment.start + program.p_memsz;
    segment.writable = program.p_flags & PF_W;
    segment.executable = program.p_flags & PF_X;
    if (program.p_offset < raw_size)
      segment.contents =
          TableBytes({raw + program.p_offset,
                      std::min<size_t>(program.p_filesz, raw_size - program.p_offset)});
    if (segment.end <= segment.start) continue;
    start_ = segments_.empty() ? segment.start : std::min(start_, segment.start);
    end_ = std::max(end_, segment.end);
    segments_.push_back(segment);
  }
  if (eh_frame_header != 0) eh_frame_header_ = eh_frame_header + bias_;
  return !segments_.empty();
}

const ElfImage::Segment* ElfImage::segment(uint64_t address) const {
  for (const auto& s : segments_)
    if (s.start <= address && address < s.end) return &s;
  return nullptr;
}

std::optional<ElfImage::Section> ElfImage::section(std::string_view name) const {
  size_t names = 0;
  if (elf_getshdrstrndx(elf_, &names) != 0) return std::nullopt;
  for (Elf_Scn* scn = nullptr; (scn = elf_nextscn(elf_, scn));) {
    GElf_Shdr header;
    if (!gelf_getshdr(scn, &header)) continue;
    const char* text = elf_strptr(elf_, names, header.sh_name);
    if (!text || name != text) continue;
    Section section;
    if (header.sh_flags & SHF_ALLOC) section.address = header.sh_addr + bias_;
    if ((header.sh_flags & SHF_COMPRESSED) && elf_compress(scn, 0, 0) < 0) return std::nullopt;
    const Elf_Data* data = header.sh_type == SHT_NOBITS ? nullptr : elf_rawdata(scn, nullptr);
    if (data && data->d_buf)
      section.contents = TableBytes({static_cast<const uint8_t*>(data->d_buf), data->d_size});
    return section;
  }
  return std::nullopt;
}

std::string ElfImage::soname() const {
  const auto dynamic = section(".dynamic"), names = section(".dynstr");
  if (!dynamic || !names) return {};
  for (uint64_t at = 0; const auto entry = dynamic->contents.get<Elf64_Dyn>(at);
       at += sizeof(Elf64_Dyn))
    if (entry->d_tag == DT_SONAME) return std::string(names->contents.text(entry->d_un.d_val));
  return {};
}

std::optional<ElfImage::Section> ElfImage::eh_frame_header() const {
  if (eh_frame_header_ == 0) return std::nullopt;
  return Section{eh_frame_header_, at(eh_frame_header_)};
}

TableBytes ElfImage::at(uint64_t address) const {
  const Segment* s = segment(address);
  return s ? s->contents.from(address - s->start) : TableBytes();
}

std::optional<uint64_t> ElfImage::pointer(uint64_t address) const {
  const auto here = at(address).get<uint64_t>(0);
  if (!here || bias_ == 0) return here;
  if (!relative_) {
    relative_.emplace();
    if (const auto relocations = section(".rela.dyn")) {
      const auto& bytes = relocations->contents;
      for (uint64_t offset = 0; const auto entry = bytes.get<Elf64_Rela>(offset);
           offset += sizeof(Elf64_Rela))
        if (ELF64_R_TYPE(entry->r_info) == R_X86_64_RELATIVE)
          (*relative_)[entry->r_offset] = static_cast<uint64_t>(entry->r_addend);
    }
  }
  const auto it = relative_->find(address - bias_);
  return (it != relative_->end() ? it->second : *here) + bias_;
}

}  // namespace heddle
