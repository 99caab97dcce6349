#include "machine/tracee/native_clock.h"

#include <dlfcn.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "machine/runtime/served_calls.h"
#include "machine/tracee/host_process.h"

namespace heddle {
namespace {

constexpr const char* kLibrary = "[vdso]";

bool is_part(const MapsEntry& entry) {
  return entry.path == kLibrary || entry.path.starts_with("[vvar");
}

// Where our own vDSO, which is the same, has a function; 0: nowhere.
uint64_t offset_of(const char* name) {
  void* library = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (!library) return 0;
  const auto at = reinterpret_cast<uint64_t>(dlsym(library, name));
  dlclose(library);
  return at == 0 ? 0 : at - getauxval(AT_SYSINFO_EHDR);
}

bool is_like_ours(const ProcessMemory& memory, const MapsEntry& library) {
  const uint64_t own = getauxval(AT_SYSINFO_EHDR);
  std::vector<uint8_t> bytes(library.end - library.start);
  return own != 0 && memory.read(library.start, bytes) == bytes.size() &&
         std::memcmp(bytes.data(), reinterpret_cast<const void*>(own), bytes.size()) == 0;
}

}  // namespace

void place_clock(HostProcess& process) {
  std::vector<MapsEntry> parts;
  for (auto& entry : read_maps(process.pid()))
    if (is_part(entry)) parts.push_back(std::move(entry));
  const auto library = std::ranges::find(parts, kLibrary, &MapsEntry::path);
  if (library == parts.end()) return;
  const uint64_t start = parts.front().start;
  if (parts.back().end - start > layout::kNativeClock.size) return;
  if (!is_like_ours(process.memory(), *library)) return;
  // They know each other by their distances.
  std::vector<RemoteCall> calls;
  for (const auto& part : parts) {
    const uint64_t to = layout::kNativeClock.start + (part.start - start);
    const uint64_t size = part.end - part.start;
    calls.push_back(
        {SYS_mremap, {part.start, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to, 0}, 0});
  }
  process.remote_syscalls(process.thread(), calls);
  for (const auto& call : calls)
    if (call.result != static_cast<int64_t>(call.arguments[4])) return;
  const uint64_t base = layout::kNativeClock.start + (library->start - start);
  const auto tell = [&](size_t field, const char* name) {
    if (const uint64_t offset = offset_of(name))
      process.memory().store<uint64_t>(layout::kRuntimeData.start + field, base + offset);
  };
  tell(offsetof(heddle_runtime_data, clock_gettime), "__vdso_clock_gettime");
  tell(offsetof(heddle_runtime_data, gettimeofday), "__vdso_gettimeofday");
}

}  // namespace heddle
