#include "trace_format/archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "trace_format/file_store.h"
#include "trace_format/reader.h"

namespace heddle {

namespace fs = std::filesystem;

namespace {

constexpr size_t kBlock = 512;  // of a tar archive
constexpr int kLevel = 3;       // zstd's

// A member's header (POSIX.1-1988, ustar). Numbers are octal text.
struct Header {
  char name[100];
  char mode[8];
  char owner[8];
  char group[8];
  char size[12];
  char time[12];
  char checksum[8];
  char type;
  char link[100];
  char magic[6];
  char version[2];
  char names[64];
  char device[16];
  char prefix[155];
  char padding[12];
};
static_assert(sizeof(Header) == kBlock);

unsigned sum(Header header) {
  std::memset(header.checksum, ' ', sizeof header.checksum);
  unsigned all = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&header);
  for (size_t i = 0; i < sizeof header; ++i) all += bytes[i];
  return all;
}

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

class File {
 public:
  File(const fs::path& path, const char* mode)
      : path_(path), file_(std::fopen(path.c_str(), mode)) {
    if (!file_) fail((mode[0] == 'r' ? "reading " : "writing ") + path.string());
  }
  ~File() {
    if (file_) std::fclose(file_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // As many as there are.
  size_t read(std::span<uint8_t> out) {
    const size_t got = std::fread(out.data(), 1, out.size(), file_);
    if (got < out.size() && std::ferror(file_)) fail("reading " + path_.string());
    return got;
  }
  void write(std::span<const uint8_t> bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size())
      fail("writing " + path_.string());
  }
  void close() {
    if (std::fclose(std::exchange(file_, nullptr)) != 0) fail("writing " + path_.string());
  }

 private:
  fs::path path_;
  std::FILE* file_;
};

class Packer {
 public:
  explicit Packer(const fs::path& path) : out_(path, "wxb") {
    ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_compressionLevel, kLevel);
    ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_checksumFlag, 1);
  }

  void add(const std::string& name, const fs::path& path) {
    File in(path, "rb");
    const uint64_t size = fs::file_size(path);
    Header header{};
    std::snprintf(header.name, sizeof header.name, "%s", name.c_str());
    std::snprintf(header.mode, sizeof header.mode, "%07o", 0600);
    std::snprintf(header.owner, sizeof header.owner, "%07o", 0);
    std::snprintf(header.group, sizeof header.group, "%07o", 0);
    if (size >> 33 != 0) throw TraceError(path.string() + ": too large for an archive (8 GiB)");
    std::snprintf(header.size, sizeof header.size, "%011llo",
                  static_cast<unsigned long long>(size));
    std::snprintf(header.time, sizeof header.time, "%011o", 0);
    header.type = '0';
    std::memcpy(header.magic, "ustar", 6);
    std::memcpy(header.version, "00", 2);
    std::snprintf(header.checksum, sizeof header.checksum, "%06o", sum(header));
    header.checksum[7] = ' ';
    put({reinterpret_cast<const uint8_t*>(&header), sizeof header}, ZSTD_e_continue);
    std::vector<uint8_t> piece(1 << 20);
    uint64_t done = 0;
    while (done < size) {
      const size_t got =
          in.read(std::span(piece).first(std::min<uint64_t>(piece.size(), size - done)));
      if (got == 0) throw TraceError(path.string() + ": it became shorter while it was read");
      put(std::span(piece).first(got), ZSTD_e_continue);
      done += got;
    }
    const std::vector<uint8_t> zeros((kBlock - size % kBlock) % kBlock);
    put(zeros, ZSTD_e_continue);
  }

  void finish() {
    put(std::vector<uint8_t>(2 * kBlock), ZSTD_e_end);
    out_.close();
  }

 private:
  void put(std::span<const uint8_t> bytes, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    size_t left = 0;
    do {
      ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
      left = ZSTD_compressStream2(stream_.get(), &out, &in, directive);
      if (ZSTD_isError(left)) throw std::runtime_error("compressing an archive");
      out_.write(std::span(buffer_).first(out.pos));
    } while (directive == ZSTD_e_end ? left != 0 : in.pos < in.size);
  }

  File out_;
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> stream_{ZSTD_createCCtx(), ZSTD_freeCCtx};
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(ZSTD_CStreamOutSize());
};

class Unpacker {
 public:
  explicit Unpacker(fs::path path) : path_(std::move(path)), in_(path_, "rb") {}

  // The next member's name; empty at the end. All of the one before must have been read.
  std::string next() {
    skip(padding_);
    Header header;
    get({reinterpret_cast<uint8_t*>(&header), sizeof header});
    if (header.name[0] == 0) return {};
    unsigned checksum = 0;
    unsigned long long size = 0;
    char octal[13] = {};
    std::memcpy(octal, header.size, sizeof header.size);
    if (std::memcmp(header.magic, "ustar", 5) != 0 || header.type != '0' ||
        std::sscanf(header.checksum, "%7o", &checksum) != 1 || checksum != sum(header) ||
        std::sscanf(octal, "%12llo", &size) != 1 || size >> 33 != 0)
      throw damaged("not the archive of a trace");
    left_ = size;
    padding_ = (kBlock - size % kBlock) % kBlock;
    return {header.name, strnlen(header.name, sizeof header.name)};
  }

  // Of the present member; 0 at its end.
  size_t read(std::span<uint8_t> out) {
    const size_t wanted = std::min<uint64_t>(out.size(), left_);
    get(out.first(wanted));
    left_ -= wanted;
    return wanted;
  }

  // After the last member: nothing but zeros to the end of the frame, whose checksum is checked.
  void finish() {
    std::vector<uint8_t> rest(kBlock);
    while (const size_t got = some(rest))
      for (size_t i = 0; i < got; ++i)
        if (rest[i] != 0) throw damaged("something follows the end");
  }

  TraceError damaged(const std::string& what) const {
    return TraceError(path_.string() + ": " + what);
  }

 private:
  void skip(uint64_t size) {
    std::vector<uint8_t> ignored(size);
    get(ignored);
  }
  void get(std::span<uint8_t> out) {
    while (!out.empty()) {
      const size_t got = some(out);
      if (got == 0) throw damaged("the archive is cut off");
      out = out.subspan(got);
    }
  }
  // Decompressed bytes; 0 at the end.
  size_t some(std::span<uint8_t> out) {
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (to.pos == 0 && !out.empty()) {
      if (from_.pos == from_.size) {
        from_ = {buffer_.data(), in_.read(buffer_), 0};
        if (from_.size == 0 && ended_) return 0;
        if (from_.size == 0) throw damaged("the archive is cut off");
      }
      if (ended_) throw damaged("something follows the end");
      const size_t left = ZSTD_decompressStream(stream_.get(), &to, &from_);
      if (ZSTD_isError(left))
        throw damaged(std::string("not an archive, or a damaged one: ") + ZSTD_getErrorName(left));
      ended_ = left == 0;
      if (ended_ && to.pos == 0 && from_.pos == from_.size) continue;
    }
    return to.pos;
  }

  fs::path path_;
  File in_;
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> stream_{ZSTD_createDCtx(), ZSTD_freeDCtx};
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(ZSTD_DStreamInSize());
  ZSTD_inBuffer from_{nullptr, 0, 0};
  bool ended_ = false;
  uint64_t left_ = 0, padding_ = 0;
};

// The pinned files that the events name.
std::set<std::string> contents(const fs::path& trace) {
  std::set<std::string> names;
  const auto note = [&](const std::optional<FileRange>& file) {
    if (file && !file->content.empty()) names.insert(file->content);
  };
  TraceReader reader(trace);
  while (const auto event = reader.next()) {
    if (const auto* image = std::get_if<event::Exec>(&event->body))
      for (const auto& mapping : image->mappings) note(mapping.file);
    else if (const auto* call = std::get_if<event::Syscall>(&event->body))
      note(call->file);
  }
  for (const auto& name : names) (void)reader.pinned(name);
  return names;
}

constexpr const char* kOptional[] = {"tail", "log", "finding.json"};

}  // namespace

void pack(const fs::path& trace, const fs::path& file) {
  const auto names = contents(trace);
  if (fs::exists(file)) {
    errno = EEXIST;
    fail("writing " + file.string());
  }
  const fs::path draft = file.string() + ".part";
  try {
    Packer packer(draft);
    packer.add("events", trace / "events");
    for (const auto* name : kOptional)
      if (fs::exists(trace / name)) packer.add(name, trace / name);
    for (const auto& name : names) packer.add("files/" + name, trace / "files" / name);
    packer.finish();
    if (rename(draft.c_str(), file.c_str()) != 0) fail("writing " + file.string());
  } catch (const std::exception&) {
    unlink(draft.c_str());
    throw;
  }
}

void unpack(const fs::path& file, const fs::path& directory, const fs::path& shared_files) {
  Unpacker archive(file);
  fs::create_directories(directory.parent_path().empty() ? "." : directory.parent_path());
  if (mkdir(directory.c_str(), 0700) != 0 && !(errno == EEXIST && fs::is_empty(directory)))
    fail("creating the trace directory " + directory.string());
  try {
    if (chmod(directory.c_str(), 0700) != 0 || mkdir((directory / "files").c_str(), 0700) != 0)
      fail("creating the trace directory " + directory.string());
    FileStore store(directory / "files", shared_files);
    const FileStore::Source source = [&](std::span<uint8_t> out) { return archive.read(out); };
    for (std::string name = archive.next(); !name.empty(); name = archive.next()) {
      const bool plain = name == "events" || std::ranges::count(kOptional, name) > 0;
      if (plain) {
        File out(directory / name, "wxb");
        std::vector<uint8_t> piece(1 << 20);
        while (const size_t got = archive.read(piece)) out.write(std::span(piece).first(got));
        out.close();
        fs::permissions(directory / name, fs::perms::owner_read | fs::perms::owner_write);
      } else if (name.starts_with("files/")) {
        if (store.pin(source) != name.substr(6))
          throw archive.damaged(name + ": the contents do not match their digest");
      } else {
        throw archive.damaged("'" + name + "' is no part of a trace");
      }
    }
    archive.finish();
    TraceReader(directory).next();
  } catch (const std::exception&) {
    std::error_code ignored;
    fs::remove_all(directory, ignored);
    throw;
  }
}

}  // namespace heddle
