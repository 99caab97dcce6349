#include "machine/stacks/symbols.h"

#include <elfutils/libdwfl.h>

#include <cstdio>
#include <set>

namespace heddle {

struct Symbols::Library {
  Dwfl_Callbacks callbacks{};
  Dwfl* dwfl = nullptr;
};

Symbols::Symbols(const std::vector<Module>& modules) : library_(std::make_unique<Library>()) {
  library_->callbacks.find_elf = dwfl_build_id_find_elf;
  library_->callbacks.find_debuginfo = dwfl_standard_find_debuginfo;
  library_->callbacks.section_address = dwfl_offline_section_address;
  library_->dwfl = dwfl_begin(&library_->callbacks);
  std::set<std::filesystem::path> seen;
  for (const auto& module : modules)
    if (seen.insert(module.file).second)
      dwfl_report_elf(library_->dwfl, module.file.c_str(), module.file.c_str(), -1, module.base,
                      false);
  dwfl_report_end(library_->dwfl, nullptr, nullptr);
}

Symbols::~Symbols() {
  dwfl_end(library_->dwfl);
}

std::string Symbols::function(uint64_t pc) const {
  Dwfl_Module* module = dwfl_addrmodule(library_->dwfl, pc);
  const char* name = module ? dwfl_module_addrname(module, pc) : nullptr;
  return name ? name : "";
}

std::string Symbols::site(uint64_t pc) const {
  std::string out = function(pc);
  if (out.empty()) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(pc));
    out = text;
  }
  Dwfl_Module* module = dwfl_addrmodule(library_->dwfl, pc);
  if (Dwfl_Line* line = module ? dwfl_module_getsrc(module, pc) : nullptr) {
    int number = 0;
    if (const char* file = dwfl_lineinfo(line, nullptr, &number, nullptr, nullptr, nullptr))
      out += std::string(" ") + file + ":" + std::to_string(number);
  }
  return out;
}

Site Symbols::locate(uint64_t pc) const {
  Site site;
  Dwfl_Module* module = dwfl_addrmodule(library_->dwfl, pc);
  if (!module) return site;
  site.function = function(pc);
  const char* path = nullptr;
  dwfl_module_info(module, nullptr, nullptr, nullptr, nullptr, nullptr, &path, nullptr);
  if (path) site.module = path;
  if (Dwfl_Line* line = dwfl_module_getsrc(module, pc)) {
    int number = 0;
    if (const char* file = dwfl_lineinfo(line, nullptr, &number, nullptr, nullptr, nullptr)) {
      site.file = file;
      site.line = static_cast<uint32_t>(number);
    }
  }
  return site;
}

std::string Symbols::variable(uint64_t address) const {
  Dwfl_Module* module = dwfl_addrmodule(library_->dwfl, address);
  GElf_Off offset = 0;
  GElf_Sym symbol;
  const char* name =
      module ? dwfl_module_addrinfo(module, address, &offset, &symbol, nullptr, nullptr, nullptr)
             : nullptr;
  if (!name || GELF_ST_TYPE(symbol.st_info) != STT_OBJECT || offset >= symbol.st_size) return {};
  return offset == 0 ? name : name + ("+" + std::to_string(offset));
}

std::string Symbols::library(uint64_t pc) const {
  Dwfl_Module* module = dwfl_addrmodule(library_->dwfl, pc);
  GElf_Addr bias = 0;
  Elf* elf = module ? dwfl_module_getelf(module, &bias) : nullptr;
  if (!elf) return {};
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header) || header.sh_type != SHT_DYNAMIC) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    GElf_Dyn entry;
    for (int i = 0; data && gelf_getdyn(data, i, &entry); ++i) {
      if (entry.d_tag != DT_SONAME) continue;
      const char* name = elf_strptr(elf, header.sh_link, entry.d_un.d_val);
      return name ? name : "";
    }
  }
  return {};
}

std::optional<uint64_t> Symbols::address_of(const std::string& name) const {
  struct Search {
    const std::string& name;
    std::optional<uint64_t> found;
  } search{name, std::nullopt};
  const auto look = [](Dwfl_Module* module, void**, const char*, Dwarf_Addr, void* argument) {
    auto& s = *static_cast<Search*>(argument);
    const int count = dwfl_module_getsymtab(module);
    for (int i = 0; i < count; ++i) {
      GElf_Sym symbol;
      GElf_Addr address = 0;
      const char* text =
          dwfl_module_getsym_info(module, i, &symbol, &address, nullptr, nullptr, nullptr);
      if (text && s.name == text) {
        s.found = address;
        return static_cast<int>(DWARF_CB_ABORT);
      }
    }
    return static_cast<int>(DWARF_CB_OK);
  };
  dwfl_getmodules(library_->dwfl, look, &search, 0);
  return search.found;
}

}  // namespace heddle
