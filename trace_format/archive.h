// A trace in one file, to be taken to another machine: a tar archive (POSIX.1-1988, ustar) in one
// zstd frame with a checksum, so that `tar --zstd -t` lists it. Its members are those of a trace's
// directory (docs/trace-format.md): events first, pinned files as files/DIGEST.
#pragma once

#include <filesystem>

namespace heddle {

// Writes the trace at `trace` to `file`, which must not exist; with the pinned files that its
// events name and no others. Throws TraceError where the trace is damaged or one is missing, and
// std::system_error; there is no `file` then.
void pack(const std::filesystem::path& trace, const std::filesystem::path& file);

// Makes the trace of `file` at `directory`, which must not exist or be empty. Pinned files go by
// way of the store at `shared_files` (file_store.h; empty: none). Throws TraceError (file and what)
// where the archive is damaged or not one of a trace, and std::system_error; what was written is
// removed then.
void unpack(const std::filesystem::path& file, const std::filesystem::path& directory,
            const std::filesystem::path& shared_files);

}  // namespace heddle
