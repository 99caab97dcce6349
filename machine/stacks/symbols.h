// Names and source lines of guest code addresses.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "machine/stacks/module.h"
#include "machine/stacks/site.h"

namespace heddle {

class LoadedModule;

// Reads ELF symbols and DWARF lines (compressed or not, in the file or a separate one) by libdw,
// and Go's function table, so that Go code has names and lines in stripped programs too. A module's
// tables are read when the first address in it is asked for; what was found for an address is kept.
// Not for use by two threads at once.
class Symbols {
 public:
  // Files that are no ELF programs or libraries are left out. Of modules that overlap, the first in
  // the list counts.
  explicit Symbols(const std::vector<Module>& modules);
  ~Symbols();
  Symbols(const Symbols&) = delete;
  Symbols& operator=(const Symbols&) = delete;

  // The function whose code `pc` is in, not one that was inlined there; empty where it is not
  // known.
  std::string function(uint64_t pc) const;
  // The source positions of the instruction at `pc`, innermost inlined function first; the last is
  // that of function(pc). Never empty. Valid as long as this object.
  const std::vector<Site>& sites(uint64_t pc) const;
  // "function file:line" of the innermost, as far as it is known; else the address.
  std::string site(uint64_t pc) const;
  // The library that `pc` is in, as it names itself (DT_SONAME: "libc.so.6"); empty in programs.
  std::string library(uint64_t pc) const;
  // The file of the innermost of sites(pc) in code that is not Go, for less than all of them.
  std::string file(uint64_t pc) const;
  // The innermost of sites(pc).
  Site locate(uint64_t pc) const { return sites(pc).front(); }
  // The data symbol that `address` is in, "name" or "name+offset"; empty where there is none.
  std::string variable(uint64_t address) const;
  // Guest address of a symbol. Reads the symbols of every module.
  std::optional<uint64_t> address_of(const std::string& name) const;

  // The module that has `address` in one of its segments; null where there is none.
  const LoadedModule* module(uint64_t address) const;
  // The same, where that segment is executable.
  const LoadedModule* code_module(uint64_t address) const;
  // The first module with Go code; null where there is none.
  const LoadedModule* go_module() const;

 private:
  std::vector<std::unique_ptr<LoadedModule>> modules_;
  mutable std::unordered_map<uint64_t, std::vector<Site>> sites_;
};

}  // namespace heddle
