#include "machine/tracee/saved_translations_file.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <unistd.h>
#include <xxhash.h>

#include <cstring>
#include <ctime>

namespace heddle::saved_file {

namespace {

// Of this boot; 0 where it is not known.
long nanoseconds_of(uint64_t checksum) {
  const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::array<char, 64> id;
  const ssize_t size = ::read(fd, id.data(), id.size());
  close(fd);
  if (size <= 0) return 0;
  return static_cast<long>(XXH3_64bits_withSeed(id.data(), static_cast<size_t>(size), checksum) %
                           1'000'000'000);
}

}  // namespace

bool is_sealed(const struct stat& status, uint64_t checksum) {
  const long nanoseconds = nanoseconds_of(checksum);
  return nanoseconds != 0 && status.st_mtim.tv_nsec == nanoseconds;
}

void seal(int fd, uint64_t checksum) {
  const long nanoseconds = nanoseconds_of(checksum);
  const timespec times[2] = {{0, UTIME_OMIT}, {std::time(nullptr), nanoseconds}};
  if (nanoseconds != 0) futimens(fd, times);  // or the next one checks it too
}

uint64_t options_hash(const translator::Options& options) {
  return (options.fast ? 1 : 0) | (options.runtime_syscalls ? 2 : 0) |
         uint64_t{options.max_instructions} << 8;
}

uint64_t own_build() {
  static const uint64_t id = [] {
    uint64_t found = 0;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* out) {
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            if (info->dlpi_phdr[i].p_type != PT_NOTE) continue;
            const auto* at =
                reinterpret_cast<const uint8_t*>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
            const auto* end = at + info->dlpi_phdr[i].p_memsz;
            while (at + sizeof(ElfW(Nhdr)) <= end) {
              ElfW(Nhdr) note;
              std::memcpy(&note, at, sizeof note);
              const auto* name = at + sizeof note;
              const auto* description = name + ((note.n_namesz + 3) & ~3u);
              if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4)
                *static_cast<uint64_t*>(out) = XXH3_64bits(description, note.n_descsz);
              at = description + ((note.n_descsz + 3) & ~3u);
            }
          }
          return 1;  // the first is the program itself
        },
        &found);
    return found;
  }();
  return id;
}

}  // namespace heddle::saved_file
