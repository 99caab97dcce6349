// Names and source lines of guest code addresses.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace heddle {

// A file that the guest mapped: `base` is the guest address of the file's first byte.
struct Module {
  uint64_t base = 0;
  std::filesystem::path file;
};

// Where an instruction comes from; empty and 0 where it is not known.
struct Site {
  std::string function, file;
  uint32_t line = 0;
  std::string module;  // path of the file that holds the code
};

// Reads ELF symbols and DWARF lines (compressed or not) by libdw. Go's functions are in the symbol
// table as the linker names them.
class Symbols {
 public:
  explicit Symbols(const std::vector<Module>& modules);
  ~Symbols();
  Symbols(const Symbols&) = delete;
  Symbols& operator=(const Symbols&) = delete;

  // The function that `pc` is in; empty where it is not known.
  std::string function(uint64_t pc) const;
  // "function file:line", as far as it is known; else the address.
  std::string site(uint64_t pc) const;
  // The library that `pc` is in, as it names itself (DT_SONAME: "libc.so.6"); empty in programs.
  std::string library(uint64_t pc) const;
  Site locate(uint64_t pc) const;
  // The data symbol that `address` is in, "name" or "name+offset"; empty where there is none.
  std::string variable(uint64_t address) const;
  // Guest address of a symbol.
  std::optional<uint64_t> address_of(const std::string& name) const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace heddle
