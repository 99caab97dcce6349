// The functions of a Go program, stripped or not, from the table that its own runtime uses.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machine/stacks/elf_image.h"
#include "machine/stacks/site.h"

namespace heddle {

// Go's pclntab as Go 1.18 and later write it (src/runtime/symtab.go, src/runtime/runtime2.go: type
// _func, src/cmd/link/internal/ld/pcln.go). Addresses are the guest's.
class GoFunctions {
 public:
  struct Function {
    uint64_t entry = 0;
    uint64_t end = 0;  // where the next function begins
    std::string_view name;
    bool outermost = false;  // TOPFRAME: nothing called it
    bool writes_sp = false;  // SPWRITE: its frame sizes may not hold
    uint32_t record = 0;     // offset of its _func
  };

  // Nothing where the module has no such table.
  static std::unique_ptr<GoFunctions> find(const ElfImage& image);

  // The function that `pc` is in; nothing for code that Go did not compile.
  std::optional<Function> function(uint64_t pc) const;
  std::optional<uint64_t> address_of(std::string_view name) const;

  // Bytes between the stack pointer and the return address at `pc`, before the instruction there.
  std::optional<uint64_t> frame_size(const Function& function, uint64_t pc) const;

  // The source positions of the instruction at `pc`, innermost inlined function first; the last is
  // `function` itself.
  std::vector<Site> sites(const Function& function, uint64_t pc) const;

 private:
  struct Layout;
  explicit GoFunctions(const ElfImage& image) : image_(image) {}
  bool parse(uint64_t table);
  void find_function_data(uint64_t table);
  std::optional<int32_t> value_at(uint32_t stream, const Function& function, uint64_t pc) const;
  std::optional<uint32_t> pc_data(const Function& function, uint32_t index) const;
  std::optional<uint64_t> function_data(const Function& function, uint32_t index) const;
  uint32_t field(const Function& function, uint32_t offset) const;
  std::string_view name_at(int32_t offset) const {
    return names_.text(static_cast<uint32_t>(offset));
  }
  void position(const Function& function, uint64_t pc, Site& site) const;

  const ElfImage& image_;
  const Layout* layout_ = nullptr;
  uint64_t text_ = 0;  // guest address that entry offsets count from
  uint64_t count_ = 0;
  TableBytes names_, units_, files_, values_, functions_;  // the table's parts
  uint64_t function_data_ = 0;  // guest address that function data offsets count from, or 0
};

}  // namespace heddle
