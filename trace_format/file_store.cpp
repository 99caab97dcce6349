#include "trace_format/file_store.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

namespace heddle {

namespace fs = std::filesystem;

namespace {

// A file that changed a moment ago can change again without looking different.
constexpr uint64_t kSettled = 2'000'000'000;  // ns
constexpr size_t kMostLines = 20'000;         // of the index, before it is written anew

[[noreturn]] void fail(const std::string& what, int error) {
  throw std::system_error(error, std::generic_category(), what);
}

uint64_t nanoseconds(const timespec& t) {
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

std::string hexadecimal(const XXH128_hash_t& digest) {
  char name[33];
  std::snprintf(name, sizeof name, "%016llx%016llx", static_cast<unsigned long long>(digest.high64),
                static_cast<unsigned long long>(digest.low64));
  return name;
}

bool is_digest(const std::string& text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Removes a file that did not become what it was to be.
class Draft {
 public:
  explicit Draft(fs::path path) : path_(std::move(path)) {}
  ~Draft() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  const fs::path& path() const { return path_; }
  fs::path keep() { return std::exchange(path_, {}); }

 private:
  fs::path path_;
};

void write_all(int fd, const uint8_t* bytes, size_t size, const fs::path& path) {
  while (size > 0) {
    const ssize_t put = write(fd, bytes, size);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail("writing " + path.string(), put < 0 ? errno : ENOSPC);
    bytes += put;
    size -= static_cast<size_t>(put);
  }
}

bool is_zero(std::span<const uint8_t> bytes) {
  return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

// The digest of all that `source` gives, which is written to `to` if that is a descriptor, with
// holes for zeros: sparse files stay sparse.
std::string hashed(const FileStore::Source& source, int to, const fs::path& path) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<uint8_t> piece(1 << 20);
  off_t size = 0;
  while (const size_t got = source(piece)) {
    XXH3_128bits_update(state.get(), piece.data(), got);
    size += static_cast<off_t>(got);
    if (to < 0) continue;
    if (!is_zero({piece.data(), got}))
      write_all(to, piece.data(), got, path);
    else if (lseek(to, static_cast<off_t>(got), SEEK_CUR) < 0)
      fail("writing " + path.string(), errno);
  }
  if (to >= 0 && ftruncate(to, size) != 0) fail("writing " + path.string(), errno);
  return hexadecimal(XXH3_128bits_digest(state.get()));
}

fs::path draft_name(const fs::path& directory) {
  static unsigned count = 0;
  return directory / (".draft." + std::to_string(getpid()) + "." + std::to_string(++count));
}

}  // namespace

FileStore::FileStore(fs::path files, fs::path shared)
    : files_(std::move(files)), shared_(std::move(shared)) {
  if (!shared_.empty()) read_index();
}

// Made when there is something to put into it.
void FileStore::make_store() {
  if (shared_.empty()) return;
  std::error_code refused;
  fs::create_directories(shared_.parent_path(), refused);
  if ((mkdir(shared_.c_str(), 0700) != 0 && errno != EEXIST) || access(shared_.c_str(), W_OK) != 0)
    shared_.clear();
}

void FileStore::read_index() {
  std::ifstream in(shared_ / "index");
  size_t lines = 0;
  for (std::string line; std::getline(in, line); ++lines) {
    std::istringstream words(line);
    Looks looks{};
    std::string digest;
    for (auto& number : looks) words >> number;
    if (words >> digest && is_digest(digest)) stored_[looks] = digest;
  }
  if (lines < kMostLines) return;
  // Files that were replaced do not come back with their old looks: begin again.
  stored_.clear();
  unlink((shared_ / "index").c_str());
}

void FileStore::remember(const Looks& looks, const std::string& digest) {
  known_[looks] = digest;
  if (shared_.empty() || stored_.contains(looks)) return;
  stored_[looks] = digest;
  std::string line;
  for (const uint64_t number : looks) line += std::to_string(number) + " ";
  line += digest + "\n";
  // One write, so that recorders at the same time do not mix their lines.
  const Descriptor index(
      open((shared_ / "index").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (index.get() >= 0 && write(index.get(), line.data(), line.size()) < 0) return;
}

// A file of the store becomes one of the trace. False where the store does not have it.
bool FileStore::take_from_store(const std::string& digest, uint64_t size) {
  if (shared_.empty()) return false;
  const auto stored = shared_ / digest;
  struct stat info {};
  if (stat(stored.c_str(), &info) != 0 || static_cast<uint64_t>(info.st_size) != size) return false;
  const auto own = files_ / digest;
  if (link(stored.c_str(), own.c_str()) == 0 || errno == EEXIST) return true;
  const Descriptor from(open(stored.c_str(), O_RDONLY | O_CLOEXEC));
  if (from.get() < 0) return false;
  const auto made = copy(from.get(), stored, files_);
  if (made.digest == digest) {
    place(made);
    return true;
  }
  unlink(made.path.c_str());
  return false;
}

// A copy under a passing name; shares the original's blocks where the file system can.
FileStore::Copy FileStore::copy(int from, const fs::path& file, const fs::path& directory) {
  Draft draft(draft_name(directory));
  const Descriptor to(open(draft.path().c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
  if (to.get() < 0) fail("creating " + draft.path().string(), errno);
  const bool cloned = ioctl(to.get(), FICLONE, from) == 0;
  off_t at = 0;
  const Source source = [&](std::span<uint8_t> out) {
    ssize_t got = 0;
    do got = pread(cloned ? to.get() : from, out.data(), out.size(), at);
    while (got < 0 && errno == EINTR);
    if (got < 0) fail("reading " + file.string(), errno);
    at += got;
    return static_cast<size_t>(got);
  };
  const auto digest = hashed(source, cloned ? -1 : to.get(), draft.path());
  return {draft.keep(), digest};
}

FileStore::Copy FileStore::copy(const Source& source, const fs::path& directory) {
  Draft draft(draft_name(directory));
  const Descriptor to(open(draft.path().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
  if (to.get() < 0) fail("creating " + draft.path().string(), errno);
  const auto digest = hashed(source, to.get(), draft.path());
  return {draft.keep(), digest};
}

// Under its own name in its directory, unless that is there.
void FileStore::place(const Copy& copy) {
  const auto path = copy.path.parent_path() / copy.digest;
  if (access(path.c_str(), F_OK) == 0) {
    unlink(copy.path.c_str());
    return;
  }
  if (rename(copy.path.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(copy.path.c_str());
    fail("writing " + path.string(), error);
  }
}

std::string FileStore::pin(const fs::path& file) {
  const Descriptor from(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (from.get() < 0 || fstat(from.get(), &info) != 0) fail("reading " + file.string(), errno);
  const Looks looks{info.st_dev, info.st_ino, static_cast<uint64_t>(info.st_size),
                    nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
  if (const auto known = known_.find(looks); known != known_.end()) return known->second;
  const auto size = static_cast<uint64_t>(info.st_size);
  if (const auto stored = stored_.find(looks);
      stored != stored_.end() && take_from_store(stored->second, size)) {
    known_[looks] = stored->second;
    return stored->second;
  }
  make_store();
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  Copy made;
  try {
    made = copy(from.get(), file, shared_.empty() ? files_ : shared_);
  } catch (const std::system_error&) {
    if (shared_.empty()) throw;
    shared_.clear();  // the trace may be where there is room
    made = copy(from.get(), file, files_);
  }
  put(made);
  if (nanoseconds(now) > kSettled + std::max(looks[3], looks[4])) remember(looks, made.digest);
  return made.digest;
}

// A copy that was made becomes the trace's, by way of the store if it was made there.
void FileStore::put(const Copy& copy) {
  place(copy);
  if (copy.path.parent_path() == files_) return;
  if (!take_from_store(copy.digest, fs::file_size(shared_ / copy.digest)))
    fail("writing " + (files_ / copy.digest).string(), EIO);
}

std::string FileStore::pin(const Source& source) {
  make_store();
  auto made = copy(source, shared_.empty() ? files_ : shared_);
  put(made);
  return made.digest;
}

std::string FileStore::pin(std::span<const uint8_t> contents) {
  auto digest = hexadecimal(XXH3_128bits(contents.data(), contents.size()));
  if (access((files_ / digest).c_str(), F_OK) == 0) return digest;
  Draft draft(draft_name(files_));
  const Descriptor to(open(draft.path().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
  if (to.get() < 0) fail("creating " + draft.path().string(), errno);
  write_all(to.get(), contents.data(), contents.size(), draft.path());
  place({draft.keep(), digest});
  return digest;
}

uint64_t remove_unused_files(const fs::path& shared) {
  constexpr uint64_t kYoung = uint64_t{3600} * 1'000'000'000;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t bytes = 0;
  if (!fs::exists(shared)) return bytes;
  for (const auto& entry : fs::directory_iterator(shared)) {
    struct stat info {};
    if (!is_digest(entry.path().filename()) || lstat(entry.path().c_str(), &info) != 0) continue;
    if (info.st_nlink > 1 || nanoseconds(info.st_mtim) + kYoung > nanoseconds(now)) continue;
    if (unlink(entry.path().c_str()) == 0) bytes += static_cast<uint64_t>(info.st_size);
  }
  return bytes;
}

}  // namespace heddle
