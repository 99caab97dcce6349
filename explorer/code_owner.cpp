#include "explorer/code_owner.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "explorer/goroutines.h"

namespace heddle {
namespace {

// Functions of the C library that read or write what their caller names.
bool copies_for_caller(std::string_view function) {
  while (function.starts_with("_")) function.remove_prefix(1);
  for (const auto* prefix : {"mem", "str", "stp", "wcs", "wmem", "bcopy", "bzero"})
    if (function.starts_with(prefix)) return true;
  return false;
}

// By DT_SONAME.
bool locks_for_itself(std::string_view library) {
  constexpr std::array kLibraries{
      "libc.so",        "ld-linux",    "libpthread.so",  "libdl.so", "librt.so",  // the C library
      "libgomp.so",     "libomp.so",   "libiomp5.so",                             // OpenMP
      "libjemalloc.so", "libtcmalloc", "libmimalloc.so",                          // allocators
  };
  return std::ranges::any_of(kLibraries,
                             [&](const char* name) { return library.starts_with(name); });
}

// Headers and modules of nothing but atomic types.
bool is_atomic_operation(std::string_view file) {
  return file.ends_with("/bits/atomic_base.h") || file.ends_with("/core/src/sync/atomic.rs") ||
         file.ends_with("/jemalloc/internal/atomic.h") ||
         (file.ends_with("/atomic") && file.find("/c++/") != file.npos) ||
         file.find("/c++/v1/__atomic/") != file.npos;
}

}  // namespace

CodeOwner CodeOwners::of(uint64_t pc) {
  const auto [owner, fresh] = known_.try_emplace(pc, CodeOwner::program);
  if (fresh) owner->second = find(pc);
  return owner->second;
}

CodeOwner CodeOwners::find(uint64_t pc) const {
  const std::string function = symbols_.function(pc);
  // A map's own code draws its random numbers inline.
  if (go_ && (Goroutines::runtime(function) ||
              symbols_.locate(pc).function.starts_with("runtime.fastrand")))
    return CodeOwner::go_runtime;
  if (locks_for_itself(symbols_.library(pc)) && !copies_for_caller(function))
    return CodeOwner::library;
  return is_atomic_operation(symbols_.file(pc)) ? CodeOwner::atomic : CodeOwner::program;
}

}  // namespace heddle
