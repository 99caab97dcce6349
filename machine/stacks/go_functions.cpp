#include "machine/stacks/go_functions.h"

#include <algorithm>

namespace heddle {
namespace {

// pcHeader (src/runtime/symtab.go): magic, two zeros, instruction quantum, pointer size, and then
// words of eight bytes.
constexpr uint64_t kFunctionCount = 8, kTextStart = 24, kNames = 32, kUnits = 40, kFiles = 48,
                   kValues = 56, kFunctions = 64, kHeaderSize = 72;
constexpr uint32_t kEntrySize = 8;  // functab: entry offset, record offset

// _func (src/runtime/runtime2.go), up to where the versions differ.
constexpr uint32_t kNameOffset = 4, kPcSp = 16, kPcFile = 20, kPcLine = 24, kPcDataCount = 28,
                   kUnit = 32;

// src/runtime/symtab.go
constexpr uint8_t kTopFrame = 1, kSpWrite = 2;
constexpr uint32_t kInlineTreeIndex = 2;  // PCDATA_InlTreeIndex
constexpr uint32_t kInlineTree = 3;       // FUNCDATA_InlTree
constexpr uint32_t kNone = ~uint32_t{0};

// moduledata (src/runtime/symtab.go): offsets that are the same in all versions.
constexpr uint64_t kModuleNames = 8, kModuleText = 176;

}  // namespace

// What differs from version to version.
struct GoFunctions::Layout {
  uint32_t magic;
  uint32_t flags;           // in _func; the count of function data is two bytes further
  uint32_t pc_data;         // in _func
  uint64_t module_gofunc;   // in moduledata
  uint32_t inlined_size;    // of an inlinedCall
  uint32_t inlined_name;    // in an inlinedCall
  uint32_t inlined_parent;  // in an inlinedCall: offset of the call in the function
};

namespace {

bool plausible_header(const TableBytes& bytes) {
  // No zero bytes of padding, a quantum of 1 and pointers of 8 bytes.
  return bytes.get<uint32_t>(4) == 0x08010000u && bytes.size() >= kHeaderSize;
}

}  // namespace

std::unique_ptr<GoFunctions> GoFunctions::find(const ElfImage& image) {
  std::unique_ptr<GoFunctions> functions(new GoFunctions(image));
  for (const auto* name : {".gopclntab", ".data.rel.ro.gopclntab"})
    if (const auto section = image.section(name); section && functions->parse(section->address))
      return functions;
  // Where the C linker made the program, the table may be a part of another section.
  if (!image.section(".go.buildinfo") && !image.section(".note.go.buildid")) return nullptr;
  constexpr uint64_t kAlignment = 32;
  for (const auto& segment : image.segments()) {
    const uint64_t skip = (kAlignment - segment.start % kAlignment) % kAlignment;
    for (uint64_t at = skip; at + kHeaderSize <= segment.contents.size(); at += kAlignment)
      if (plausible_header(segment.contents.from(at)) && functions->parse(segment.start + at))
        return functions;
  }
  return nullptr;
}

bool GoFunctions::parse(uint64_t table) {
  static constexpr Layout kLayouts[] = {
      {0xfffffff0, 37, 40, 304, 20, 12, 16},  // Go 1.18, 1.19
      {0xfffffff1, 41, 44, 320, 16, 4, 8},    // Go 1.20 and later
  };
  const TableBytes bytes = image_.at(table);
  if (!plausible_header(bytes)) return false;
  layout_ = nullptr;
  for (const auto& layout : kLayouts)
    if (bytes.get<uint32_t>(0) == layout.magic) layout_ = &layout;
  if (!layout_) return false;
  count_ = *bytes.get<uint64_t>(kFunctionCount);
  text_ = image_.pointer(table + kTextStart).value_or(0);
  names_ = bytes.from(*bytes.get<uint64_t>(kNames));
  units_ = bytes.from(*bytes.get<uint64_t>(kUnits));
  files_ = bytes.from(*bytes.get<uint64_t>(kFiles));
  values_ = bytes.from(*bytes.get<uint64_t>(kValues));
  functions_ = bytes.from(*bytes.get<uint64_t>(kFunctions));
  if (count_ == 0 || count_ >= functions_.size() / kEntrySize || !image_.segment(text_))
    return false;
  find_function_data(table);
  return true;
}

// Where function data is (go:func.*) is in the runtime's moduledata, which begins with the address
// of the table and that of its names.
void GoFunctions::find_function_data(uint64_t table) {
  const uint64_t names =
      table + static_cast<uint64_t>(names_.bytes().data() - image_.at(table).bytes().data());
  for (const auto& segment : image_.segments()) {
    if (!segment.writable) continue;
    for (uint64_t at = segment.start; at < segment.end; at += sizeof(uint64_t)) {
      const auto first = image_.pointer(at);
      if (!first) break;  // behind the file's part
      if (*first != table || image_.pointer(at + kModuleNames) != names ||
          image_.pointer(at + kModuleText) != text_)
        continue;
      function_data_ = image_.pointer(at + layout_->module_gofunc).value_or(0);
      return;
    }
  }
}

uint32_t GoFunctions::field(const Function& function, uint32_t offset) const {
  return functions_.get<uint32_t>(uint64_t{function.record} + offset).value_or(0);
}

std::optional<GoFunctions::Function> GoFunctions::function(uint64_t pc) const {
  const auto entry_of = [&](uint64_t i) {
    return text_ + *functions_.get<uint32_t>(i * kEntrySize);
  };
  if (pc < entry_of(0) || pc >= entry_of(count_)) return std::nullopt;
  uint64_t low = 0, high = count_;  // entry_of(low) <= pc < entry_of(high)
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    (entry_of(middle) <= pc ? low : high) = middle;
  }
  Function found;
  found.entry = entry_of(low);
  found.end = entry_of(high);
  found.record = *functions_.get<uint32_t>(low * kEntrySize + 4);
  // Functions of other compilers that Go's linker put among its own have no frame sizes.
  if (field(found, kPcSp) == 0) return std::nullopt;
  found.name = name_at(static_cast<int32_t>(field(found, kNameOffset)));
  const auto flags = functions_.get<uint8_t>(uint64_t{found.record} + layout_->flags).value_or(0);
  found.outermost = flags & kTopFrame;
  found.writes_sp = flags & kSpWrite;
  return found;
}

std::optional<uint64_t> GoFunctions::address_of(std::string_view name) const {
  std::optional<uint64_t> address;
  for (uint64_t i = 0; i < count_; ++i) {
    Function candidate;
    candidate.entry = text_ + *functions_.get<uint32_t>(i * kEntrySize);
    candidate.record = *functions_.get<uint32_t>(i * kEntrySize + 4);
    if (name_at(static_cast<int32_t>(field(candidate, kNameOffset))) != name) continue;
    // A wrapper that only changes the calling convention has the same name.
    Site site;
    position(candidate, candidate.entry, site);
    if (site.file != "<autogenerated>") return candidate.entry;
    address = candidate.entry;
  }
  return address;
}

// A stream is pairs of varints: how much the value changes (zigzag), and for how many bytes of code
// the new one holds. The value before the first pair is -1.
std::optional<int32_t> GoFunctions::value_at(uint32_t stream, const Function& function,
                                             uint64_t pc) const {
  if (stream == 0) return std::nullopt;
  uint64_t at = stream;
  const auto varint = [&]() -> std::optional<uint32_t> {
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      const auto byte = values_.get<uint8_t>(at++);
      if (!byte) return std::nullopt;
      value |= static_cast<uint32_t>(*byte & 0x7f) << shift;
      if (!(*byte & 0x80)) return value;
    }
    return std::nullopt;
  };
  uint32_t value = ~uint32_t{0};
  uint64_t until = function.entry;
  for (bool first = true;; first = false) {
    const auto change = varint();
    if (!change || (*change == 0 && !first)) return std::nullopt;
    value += (*change & 1) ? ~(*change >> 1) : *change >> 1;
    const auto length = varint();
    if (!length) return std::nullopt;
    until += *length;
    if (pc < until) return static_cast<int32_t>(value);
  }
}

std::optional<uint32_t> GoFunctions::pc_data(const Function& function, uint32_t index) const {
  if (index >= field(function, kPcDataCount)) return std::nullopt;
  return field(function, layout_->pc_data + index * 4);
}

std::optional<uint64_t> GoFunctions::function_data(const Function& function, uint32_t index) const {
  const auto count =
      functions_.get<uint8_t>(uint64_t{function.record} + layout_->flags + 2).value_or(0);
  if (function_data_ == 0 || index >= count) return std::nullopt;
  const uint64_t at = uint64_t{layout_->pc_data} + uint64_t{4} * field(function, kPcDataCount) +
                      uint64_t{4} * index;
  const auto offset = functions_.get<uint32_t>(function.record + at);
  if (!offset || *offset == kNone) return std::nullopt;
  return function_data_ + *offset;
}

std::optional<uint64_t> GoFunctions::frame_size(const Function& function, uint64_t pc) const {
  const auto size = value_at(field(function, kPcSp), function, pc);
  if (!size || *size < 0) return std::nullopt;
  return static_cast<uint64_t>(*size);
}

void GoFunctions::position(const Function& function, uint64_t pc, Site& site) const {
  if (const auto line = value_at(field(function, kPcLine), function, pc))
    site.line = static_cast<uint32_t>(*line);
  const auto file = value_at(field(function, kPcFile), function, pc);
  if (!file || *file < 0) return;
  const uint64_t index = uint64_t{field(function, kUnit)} + static_cast<uint32_t>(*file);
  const auto name = units_.get<uint32_t>(index * 4);
  if (name && *name != kNone) site.file = files_.text(*name);
}

std::vector<Site> GoFunctions::sites(const Function& function, uint64_t pc) const {
  constexpr size_t kDeepest = 64;  // of a table that goes round in a circle
  std::vector<Site> sites(1);
  position(function, pc, sites[0]);
  const auto tree = function_data(function, kInlineTree);
  const auto stream = pc_data(function, kInlineTreeIndex);
  while (tree && stream && sites.size() < kDeepest) {
    const auto index = value_at(*stream, function, pc);
    if (!index || *index < 0) break;
    const TableBytes call =
        image_.at(*tree + static_cast<uint32_t>(*index) * uint64_t{layout_->inlined_size});
    const auto name = call.get<int32_t>(layout_->inlined_name);
    const auto parent = call.get<int32_t>(layout_->inlined_parent);
    if (!name || !parent) break;
    sites.back().function = name_at(*name);
    sites.back().inlined = true;
    sites.emplace_back();
    pc = function.entry + static_cast<uint32_t>(*parent);
    position(function, pc, sites.back());
  }
  sites.back().function = function.name;
  return sites;
}

}  // namespace heddle
