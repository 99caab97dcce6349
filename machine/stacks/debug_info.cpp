#include "machine/stacks/debug_info.h"

#include <cxxabi.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>

namespace heddle {
namespace {

struct Symbol {
  uint64_t start = 0;
  uint64_t size = 0;
  std::string_view name;  // without a version ("@@GLIBC_2.34")
  bool code = false;
};

// Of two symbols at one address, the one that people know: puts, not _IO_puts.
bool better_name(const Symbol& a, const Symbol& b) {
  if ((a.size != 0) != (b.size != 0)) return a.size != 0;
  if ((a.name[0] == '_') != (b.name[0] == '_')) return a.name[0] != '_';
  return a.name.size() < b.name.size();
}

struct UnitRange {
  uint64_t start = 0;  // linked addresses
  uint64_t end = 0;
  Dwarf_Off unit = 0;  // of its DIE
};

std::string name_of(Dwarf_Die* die) {
  for (const unsigned attribute : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name, DW_AT_name}) {
    Dwarf_Attribute value;
    if (!dwarf_attr_integrate(die, attribute, &value)) continue;
    if (const char* name = dwarf_formstring(&value)) return demangled(name);
  }
  return {};
}

// A file name of a unit's tables; relative ones count from where the compiler ran.
std::string path_of(Dwarf_Die* unit, const char* file) {
  if (!file) return {};
  Dwarf_Attribute value;
  const char* directory = dwarf_attr(unit, DW_AT_comp_dir, &value) ? dwarf_formstring(&value) : "";
  if (*file == '/' || !directory || *directory != '/') return file;
  return (std::filesystem::path(directory) / file).lexically_normal().string();
}

uint64_t number_of(Dwarf_Die* die, unsigned attribute) {
  Dwarf_Attribute value;
  Dwarf_Word number = 0;
  if (dwarf_attr(die, attribute, &value) && dwarf_formudata(&value, &number) == 0) return number;
  return 0;
}

}  // namespace

std::string demangled(const std::string& symbol) {
  // What compilers append to the name of a function that they changed or split.
  std::string name = symbol;
  for (const auto* change : {".constprop.", ".isra.", ".part.", ".cold", ".lto_priv.", ".llvm."})
    name = name.substr(0, name.find(change));
  if (!name.starts_with("_Z")) return name;
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string out = status == 0 && text ? text : name;
  std::free(text);
  return out;
}

struct DebugInfo::Library {
  explicit Library(const ElfImage& image) {
    callbacks.find_elf = dwfl_build_id_find_elf;
    callbacks.find_debuginfo = dwfl_standard_find_debuginfo;
    callbacks.section_address = dwfl_offline_section_address;
    dwfl = dwfl_begin(&callbacks);
    const char* file = image.module().file.c_str();
    module = dwfl_report_elf(dwfl, file, file, -1, image.bias(), true);
    dwfl_report_end(dwfl, nullptr, nullptr);
  }
  ~Library() { dwfl_end(dwfl); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  void load_symbols();
  void load_units();
  const Symbol* symbol_at(uint64_t address, bool code);
  std::optional<Dwarf_Die> unit_at(uint64_t linked_pc);

  Dwfl_Callbacks callbacks{};
  Dwfl* dwfl = nullptr;
  Dwfl_Module* module = nullptr;
  bool symbols_loaded = false;
  std::vector<Symbol> symbols;  // by address
  bool units_loaded = false;
  Dwarf* dwarf = nullptr;
  Dwarf_Addr bias = 0;           // guest address minus DWARF's
  std::vector<UnitRange> units;  // by address
};

void DebugInfo::Library::load_symbols() {
  if (symbols_loaded || !module) return;
  symbols_loaded = true;
  const int count = dwfl_module_getsymtab(module);
  for (int i = 0; i < count; ++i) {
    GElf_Sym entry;
    GElf_Addr address = 0;
    GElf_Word section = 0;
    const char* text =
        dwfl_module_getsym_info(module, i, &entry, &address, &section, nullptr, nullptr);
    const std::string_view name(text ? text : "");
    const int type = GELF_ST_TYPE(entry.st_info);
    if (name.empty() || name[0] == '@' || section == SHN_UNDEF || section == SHN_ABS ||
        type == STT_SECTION || type == STT_FILE || type == STT_TLS)
      continue;
    symbols.push_back({address, entry.st_size, name.substr(0, name.find('@')), type != STT_OBJECT});
  }
  std::stable_sort(symbols.begin(), symbols.end(), [](const Symbol& a, const Symbol& b) {
    return a.start != b.start ? a.start < b.start : better_name(b, a);
  });
}

// The nearest symbol before `address` that has a size and contains it, else the one just before it
// if that has no size (a label of assembly code).
const Symbol* DebugInfo::Library::symbol_at(uint64_t address, bool code) {
  load_symbols();
  constexpr int kNested = 64;  // how many symbols may begin inside of the one that is looked for
  auto it = std::upper_bound(symbols.begin(), symbols.end(), address,
                             [](uint64_t value, const Symbol& s) { return value < s.start; });
  const Symbol* label = nullptr;
  bool nearest = true;
  for (int i = 0; i < kNested && it != symbols.begin(); ++i) {
    --it;
    if (it->code != code) continue;
    if (it->size != 0 && address - it->start < it->size) return &*it;
    if (it->size == 0 && nearest) label = &*it;
    nearest = false;
  }
  return label;
}

void DebugInfo::Library::load_units() {
  if (units_loaded || !module) return;
  units_loaded = true;
  dwarf = dwfl_module_getdwarf(module, &bias);
  if (!dwarf) return;
  Dwarf_CU* unit = nullptr;
  Dwarf_Die die;
  uint8_t type = 0;
  while (dwarf_get_units(dwarf, unit, &unit, nullptr, &type, &die, nullptr) == 0) {
    if (type != DW_UT_compile && type != DW_UT_skeleton) continue;
    Dwarf_Addr base = 0, start = 0, end = 0;
    ptrdiff_t next = 0;
    while ((next = dwarf_ranges(&die, next, &base, &start, &end)) > 0)
      if (start < end) units.push_back({start, end, dwarf_dieoffset(&die)});
  }
  std::sort(units.begin(), units.end(),
            [](const UnitRange& a, const UnitRange& b) { return a.start < b.start; });
}

std::optional<Dwarf_Die> DebugInfo::Library::unit_at(uint64_t linked_pc) {
  auto it = std::upper_bound(units.begin(), units.end(), linked_pc,
                             [](uint64_t value, const UnitRange& u) { return value < u.start; });
  if (it == units.begin() || linked_pc >= std::prev(it)->end) return std::nullopt;
  Dwarf_Die die;
  if (!dwarf_offdie(dwarf, std::prev(it)->unit, &die)) return std::nullopt;
  return die;
}

DebugInfo::DebugInfo(const ElfImage& image) : library_(std::make_unique<Library>(image)) {}

DebugInfo::~DebugInfo() = default;

std::string DebugInfo::symbol(uint64_t pc) const {
  const Symbol* found = library_->symbol_at(pc, true);
  return found ? std::string(found->name) : "";
}

std::string DebugInfo::variable(uint64_t address) const {
  const Symbol* found = library_->symbol_at(address, false);
  if (!found || found->size == 0) return {};
  const uint64_t offset = address - found->start;
  return std::string(found->name) + (offset == 0 ? "" : "+" + std::to_string(offset));
}

std::optional<uint64_t> DebugInfo::address_of(const std::string& name) const {
  library_->load_symbols();
  for (const auto& symbol : library_->symbols)
    if (name == symbol.name) return symbol.start;
  return std::nullopt;
}

std::vector<Site> DebugInfo::sites(uint64_t pc) const {
  std::vector<Site> sites(1);
  library_->load_units();
  const uint64_t linked = pc - library_->bias;
  auto unit = library_->unit_at(linked);
  const Symbol* symbol = library_->symbol_at(pc, true);
  const std::string name = symbol ? demangled(std::string(symbol->name)) : "";
  if (!unit) {
    sites[0].function = name;
    return sites;
  }
  if (Dwarf_Line* line = dwarf_getsrc_die(&*unit, linked)) {
    int number = 0;
    dwarf_lineno(line, &number);
    sites[0].file = path_of(&*unit, dwarf_linesrc(line, nullptr, nullptr));
    sites[0].line = static_cast<uint32_t>(number);
  }
  // Of an inlined function, the scopes of dwarf_getscopes go on where it is defined; those of
  // dwarf_getscopes_die where it was put.
  Dwarf_Die* innermost = nullptr;
  Dwarf_Die* scopes = nullptr;
  int count = dwarf_getscopes(&*unit, linked, &innermost);
  if (count > 0) count = dwarf_getscopes_die(innermost, &scopes);
  std::free(innermost);
  Dwarf_Files* files = nullptr;
  size_t file_count = 0;
  dwarf_getsrcfiles(&*unit, &files, &file_count);
  for (int i = 0; i < count; ++i) {
    const int tag = dwarf_tag(&scopes[i]);
    if (tag == DW_TAG_subprogram) {
      sites.back().function = name.empty() ? name_of(&scopes[i]) : name;
      break;
    }
    if (tag != DW_TAG_inlined_subroutine) continue;
    sites.back().function = name_of(&scopes[i]);
    sites.back().inlined = true;
    Site caller;
    const char* file =
        files ? dwarf_filesrc(files, number_of(&scopes[i], DW_AT_call_file), nullptr, nullptr)
              : nullptr;
    caller.file = path_of(&*unit, file);
    caller.line = static_cast<uint32_t>(number_of(&scopes[i], DW_AT_call_line));
    sites.push_back(std::move(caller));
  }
  std::free(scopes);
  if (sites.back().function.empty()) sites.back().function = name;
  return sites;
}

std::string DebugInfo::file(uint64_t pc) const {
  library_->load_units();
  const uint64_t linked = pc - library_->bias;
  auto unit = library_->unit_at(linked);
  Dwarf_Line* line = unit ? dwarf_getsrc_die(&*unit, linked) : nullptr;
  return line ? path_of(&*unit, dwarf_linesrc(line, nullptr, nullptr)) : "";
}

std::optional<uint64_t> DebugInfo::member_offset(const std::string& structure,
                                                 const std::string& member) const {
  library_->load_units();
  if (!library_->dwarf) return std::nullopt;
  Dwarf_CU* unit = nullptr;
  Dwarf_Die unit_die;
  while (dwarf_get_units(library_->dwarf, unit, &unit, nullptr, nullptr, &unit_die, nullptr) == 0) {
    Dwarf_Die type;
    if (dwarf_child(&unit_die, &type) != 0) continue;
    do {
      const char* name = dwarf_diename(&type);
      if (dwarf_tag(&type) != DW_TAG_structure_type || !name || structure != name) continue;
      Dwarf_Die field;
      if (dwarf_child(&type, &field) != 0) continue;
      do {
        const char* field_name = dwarf_diename(&field);
        if (dwarf_tag(&field) == DW_TAG_member && field_name && member == field_name)
          return number_of(&field, DW_AT_data_member_location);
      } while (dwarf_siblingof(&field, &field) == 0);
    } while (dwarf_siblingof(&type, &type) == 0);
  }
  return std::nullopt;
}

}  // namespace heddle
