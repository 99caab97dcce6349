#include "trace_format/catalog/pending_recordings.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "trace_format/catalog/migrations.h"

namespace heddle {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMostBytes = 16 << 20;  // of an entry: command lines are shorter

fs::path directory_of(const fs::path& catalog) {
  return catalog.string() + ".pending";
}

uint32_t big_endian(const uint8_t* at) {
  return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3];
}

// A database header that opening it would not change (sqlite.org/fileformat.html, 1.3).
bool is_catalog(const fs::path& file) {
  const int fd = open(file.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  std::array<uint8_t, 100> header{};
  const bool read = pread(fd, header.data(), header.size(), 0) == ssize_t{header.size()};
  close(fd);
  return read && std::memcmp(header.data(), "SQLite format 3", 16) == 0 &&
         big_endian(&header[60]) == catalog_steps().size() &&
         big_endian(&header[68]) == kCatalogApplication;
}

// Entries are texts that end with a zero byte each.
std::string text(std::initializer_list<std::string> words) {
  std::string out;
  for (const auto& word : words) out.append(word).push_back('\0');
  return out;
}

template <typename Number>
std::optional<Number> number(const std::string& word) {
  Number value{};
  const auto [rest, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || rest != word.data() + word.size()) return std::nullopt;
  return value;
}

std::string contents(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return {};
  std::string bytes(std::min<size_t>(static_cast<size_t>(info.st_size), kMostBytes), '\0');
  const ssize_t got = pread(fd, bytes.data(), bytes.size(), 0);
  bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return bytes;
}

std::optional<PendingEntry::End> parsed_end(const std::vector<std::string>& words) {
  PendingEntry::End end;
  const auto at = number<int64_t>(words[3]);
  if (!at) return std::nullopt;
  end.at = *at;
  end.outcome = words[4];
  end.kept = words[5] == "kept";
  const auto status = number<int>(words[6]);
  const auto events = number<uint64_t>(words[7]), bytes = number<uint64_t>(words[8]),
             ticks = number<uint64_t>(words[9]);
  if (status && events && bytes && ticks) {
    end.end = TraceEnd{*status, *events, *bytes, *ticks, {}};
    if (words[10] == "tainted") end.end->tainted = words[11];
  }
  return end;
}

std::optional<PendingEntry> parsed(const std::string& bytes) {
  std::vector<std::string> words;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = bytes.find('\0', at);
    if (end == bytes.npos) break;  // was not written to its end
    words.push_back(bytes.substr(at, end - at));
    at = end + 1;
  }
  if (words.size() < 3) return std::nullopt;
  PendingEntry entry;
  const auto started = number<int64_t>(words[0]);
  if (!started) return std::nullopt;
  entry.started = *started;
  entry.path = words[1];
  entry.command = words[2];
  if (words.size() >= 12) entry.end = parsed_end(words);
  return entry;
}

bool is_entry(const std::string& name) {
  return name.starts_with("r") || (name.starts_with("t") && number<TraceId>(name.substr(1)));
}

// `next` as it is, and one more from now on; nothing where the file is not there or damaged.
std::optional<TraceId> take_number(const fs::path& directory, TraceId least) {
  const int fd = open((directory / "next").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::optional<TraceId> taken;
  if (flock(fd, LOCK_EX) == 0)
    if (const auto next = number<TraceId>(contents(fd))) {
      taken = std::max(*next, least);
      const auto after = std::to_string(*taken + 1);  // never shorter than what was there
      if (pwrite(fd, after.data(), after.size(), 0) != static_cast<ssize_t>(after.size()))
        taken.reset();
    }
  close(fd);
  return taken;
}

}  // namespace

std::optional<TraceId> PendingRecording::reserve(const fs::path& catalog, TraceId least) {
  if (!is_catalog(catalog)) return std::nullopt;
  return take_number(directory_of(catalog), least);
}

PendingRecording::PendingRecording(const fs::path& catalog, TraceId id, const fs::path& trace,
                                   const std::string& command)
    : PendingRecording(directory_of(catalog), "t" + std::to_string(id), trace, command) {}

std::unique_ptr<PendingRecording> PendingRecording::replay(const fs::path& catalog,
                                                           const fs::path& trace) {
  if (!is_catalog(catalog) || access((directory_of(catalog) / "next").c_str(), F_OK) != 0)
    return nullptr;
  // One of the name may be there, of a process that had our number.
  std::string name = "r" + std::to_string(getpid());
  while (access((directory_of(catalog) / name).c_str(), F_OK) == 0) name += "x";
  return std::unique_ptr<PendingRecording>(
      new PendingRecording(directory_of(catalog), name, trace, ""));
}

PendingRecording::PendingRecording(const fs::path& directory, const std::string& name,
                                   const fs::path& trace, const std::string& command)
    : file_(directory / name) {
  // Locked and written by the time that it has its name.
  const auto draft = directory / ("." + name);
  fd_ = open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (fd_ < 0) throw CatalogError(draft.string() + ": " + std::strerror(errno));
  try {
    write(text({std::to_string(unix_now()), catalog_path_text(trace), command}));
    if (flock(fd_, LOCK_EX) != 0 || rename(draft.c_str(), file_.c_str()) != 0)
      throw CatalogError(file_.string() + ": " + std::strerror(errno));
  } catch (const CatalogError&) {
    close(fd_);
    unlink(draft.c_str());
    throw;
  }
}

PendingRecording::~PendingRecording() {
  close(fd_);
}

void PendingRecording::write(const std::string& text) {
  const ssize_t put = ::write(fd_, text.data(), text.size());
  if (put != static_cast<ssize_t>(text.size()))
    throw CatalogError(file_.string() + ": " + std::strerror(put < 0 ? errno : ENOSPC));
}

void PendingRecording::end(const PendingEntry::End& end) {
  const auto of = [&](auto member) {
    return end.end ? std::to_string((*end.end).*member) : std::string();
  };
  const bool tainted = end.end && end.end->tainted;
  write(text({std::to_string(end.at), end.outcome, end.kept ? "kept" : "gone",
              of(&TraceEnd::status), of(&TraceEnd::events), of(&TraceEnd::bytes),
              of(&TraceEnd::ticks), tainted ? "tainted" : "", tainted ? *end.end->tainted : ""}));
}

PendingRecordings::PendingRecordings(const fs::path& catalog) : directory_(directory_of(catalog)) {}

void PendingRecordings::prepare(TraceId next) {
  if (mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) return;
  // Whole from the moment that it is there.
  const auto draft = directory_ / ".next";
  const int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const auto text = std::to_string(next);
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  if (written) rename(draft.c_str(), (directory_ / "next").c_str());
}

bool PendingRecordings::prepared() const {
  return access((directory_ / "next").c_str(), F_OK) == 0;
}

TraceId PendingRecordings::reserve(TraceId least) {
  return take_number(directory_, least).value_or(least);
}

bool PendingRecordings::any() const {
  std::error_code none;
  for (const auto& file : fs::directory_iterator(directory_, none))
    if (is_entry(file.path().filename())) return true;
  return false;
}

std::vector<PendingRecordings::Entry> PendingRecordings::entries() const {
  std::vector<Entry> found;
  std::error_code none;
  for (const auto& file : fs::directory_iterator(directory_, none)) {
    const std::string name = file.path().filename();
    if (!is_entry(name)) continue;
    Entry entry;
    if (name.starts_with("t")) entry.id = *number<TraceId>(name.substr(1));
    entry.file = file.path();
    entry.fd = open(entry.file.c_str(), O_RDWR | O_CLOEXEC);
    if (entry.fd < 0) continue;
    entry.over = flock(entry.fd, LOCK_EX | LOCK_NB) == 0;
    const auto recording = parsed(contents(entry.fd));
    if (!recording) {
      unlink(entry.file.c_str());  // damaged, or another has taken it over
      close(entry.fd);
      continue;
    }
    entry.recording = *recording;
    found.push_back(std::move(entry));
  }
  std::ranges::stable_sort(found, {}, &Entry::id);
  return found;
}

void PendingRecordings::forget(std::vector<Entry>& entries, bool taken_over) {
  for (const auto& entry : entries) {
    if (taken_over && entry.over) unlink(entry.file.c_str());
    close(entry.fd);
  }
  entries.clear();
}

}  // namespace heddle
