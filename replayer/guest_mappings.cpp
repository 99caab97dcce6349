// A guest's address space: what mmap and its like do when a trace says that they were done.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <system_error>

#include "machine/pages.h"
#include "machine/runtime/served_calls.h"
#include "machine/syscalls/file_changes.h"
#include "machine/tracee/fixed_addresses.h"
#include "replayer/guest.h"

namespace heddle {
namespace {

constexpr uint64_t kProgramBreak = layout::kRuntimeData.start + offsetof(heddle_runtime_data, brk);

[[noreturn]] void refuse(int64_t result, const std::string& what) {
  throw std::system_error(static_cast<int>(-result), std::generic_category(), what);
}

}  // namespace

// Of the process: programs map most of their files several times, and open none in a replay.
uint64_t Guest::descriptor_of(const std::string& content) {
  const auto [known, fresh] = descriptors_.try_emplace(content, 0);
  if (!fresh) return known->second;
  const auto open = [&] {
    const uint64_t path = process_.stage(std::filesystem::absolute(files_(content)).string());
    return process_.remote_syscall(SYS_open, {path, O_RDONLY | O_CLOEXEC, 0});
  };
  int64_t fd = open();
  if (fd == -EMFILE) {
    for (const auto& [other, descriptor] : descriptors_)
      if (other != content) process_.remote_syscall(SYS_close, {descriptor});
    descriptors_.clear();
    fd = open();
  }
  if (is_error(fd)) {
    descriptors_.erase(content);
    refuse(fd, "opening the pinned file " + content);
  }
  return descriptors_[content] = static_cast<uint64_t>(fd);
}

RemoteCall Guest::mapping_of_file(uint64_t address, uint64_t size, uint64_t prot, uint64_t flags,
                                  const FileRange& file, uint64_t offset) {
  constexpr uint64_t kHow = MAP_SHARED | MAP_PRIVATE;
  return {
      SYS_mmap,
      {address, size, prot, (flags & ~kHow) | MAP_PRIVATE, descriptor_of(file.content), offset}};
}

int64_t Guest::map_object(uint64_t address, uint64_t size, uint64_t prot, uint64_t flags,
                          const FileRange& file) {
  const auto contents = file.content.empty() ? std::filesystem::path() : files_(file.content);
  return shared_->map(process_, file, contents, address, size, prot, flags);
}

uint64_t Guest::program_break() const {
  const auto now = process_.memory().load<uint64_t>(kProgramBreak);
  if (!now) throw TraceeGone("the replaying process is gone");
  return *now;
}

void Guest::set_program_break(uint64_t address) {
  if (!memory().store(kProgramBreak, address)) throw TraceeGone("the replaying process is gone");
}

int64_t Guest::perform(const SyscallRequest& request, std::optional<int64_t> expected,
                       const std::optional<FileRange>& file) {
  const auto& a = request.arguments;
  if (expected && is_error(*expected)) return *expected;
  switch (request.number) {
    case SYS_brk: {
      uint64_t wanted = expected ? static_cast<uint64_t>(*expected) : a[0];
      const uint64_t now = program_break();
      if (wanted < brk_start_) wanted = now;
      const uint64_t from = page_up(now), to = page_up(wanted);
      if (to > from) {
        const int64_t got = process_.remote_syscall(
            SYS_mmap, {from, to - from, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, ~0ull, 0});
        if (is_error(got)) refuse(got, "growing the heap");
      } else if (to < from) {
        process_.remote_syscall(SYS_munmap, {to, from - to});
      }
      set_program_break(wanted);
      return static_cast<int64_t>(wanted);
    }
    case SYS_mmap: {
      uint64_t address = expected ? static_cast<uint64_t>(*expected) : a[0];
      if (!expected && address == 0 && process_.random_addresses())
        address = address_for_mapping(read_maps(process_.pid()), a[1]);
      const uint64_t flags = a[3] | (expected ? MAP_FIXED : 0);
      int64_t got;
      if (file && file->object != 0) {
        got = map_object(address, a[1], a[2], flags, *file);
      } else if (file) {
        const auto mapping = mapping_of_file(address, a[1], a[2], flags, *file, file->offset);
        got = process_.remote_syscall(mapping.number, mapping.arguments);
      } else if ((flags & MAP_TYPE) == MAP_SHARED) {
        got = shared_->map_anonymous(process_, address, a[1], a[2], flags);
      } else {
        constexpr uint64_t kDropped = MAP_TYPE | MAP_GROWSDOWN | MAP_HUGETLB;
        got = process_.remote_syscall(
            SYS_mmap,
            {address, a[1], a[2], (flags & ~kDropped) | MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0});
      }
      if (!is_error(got))
        mapping_changed(static_cast<uint64_t>(got), page_up(a[1]), (a[2] & PROT_EXEC) != 0);
      if (expected && got != *expected) refuse(is_error(got) ? got : -EEXIST, "repeating mmap");
      return got;
    }
    case SYS_mremap: {
      auto arguments = a;
      if (expected && static_cast<uint64_t>(*expected) != a[0]) {
        arguments[3] |= MREMAP_MAYMOVE | MREMAP_FIXED;
        arguments[4] = static_cast<uint64_t>(*expected);
      } else if (expected) {
        arguments[3] &= ~uint64_t{MREMAP_MAYMOVE};
      }
      cpu_->let_write(a[0], page_up(a[1]));
      const int64_t got = process_.remote_syscall(SYS_mremap, arguments);
      mapping_changed(a[0], page_up(a[1]), false);
      if (!is_error(got)) mapping_changed(static_cast<uint64_t>(got), page_up(a[2]), false);
      if (expected && got != *expected) refuse(is_error(got) ? got : -EEXIST, "repeating mremap");
      return got;
    }
    case SYS_shmat: {
      if (!expected || !file) refuse(-EINVAL, "attaching a segment that the trace does not have");
      const auto address = static_cast<uint64_t>(*expected);
      const uint64_t prot =
          PROT_READ | (a[2] & SHM_RDONLY ? 0 : PROT_WRITE) | (a[2] & SHM_EXEC ? PROT_EXEC : 0);
      const int64_t got = map_object(address, file->object_size, prot, MAP_FIXED, *file);
      if (got != *expected) refuse(got, "repeating shmat");
      mapping_changed(address, file->object_size, (a[2] & SHM_EXEC) != 0);
      return got;
    }
    case SYS_shmdt:
      if (file) {
        process_.remote_syscall(SYS_munmap, {a[0], file->object_size});
        mapping_changed(a[0], file->object_size, false);
      }
      return expected.value_or(0);
    case SYS_munmap:
    case SYS_mprotect:
    case SYS_madvise: {
      auto arguments = a;
      // As it was recorded: the pages are lost at once.
      if (request.number == SYS_madvise && a[2] == MADV_FREE) arguments[2] = MADV_DONTNEED;
      const int64_t got = process_.remote_syscall(request.number, arguments);
      if (request.number != SYS_madvise)
        mapping_changed(a[0], page_up(a[1]),
                        request.number == SYS_mprotect && (a[2] & PROT_EXEC) != 0);
      else if (loses_contents(a[2]))
        code_changed(a[0], page_up(a[1]), false);
      return expected ? *expected : got;
    }
    default:
      throw std::logic_error("system call " + std::to_string(request.number) +
                             " has no effect on the address space that can be repeated");
  }
}

}  // namespace heddle
