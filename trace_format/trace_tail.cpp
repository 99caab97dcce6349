#include "trace_format/trace_tail.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "trace_format/wire.h"

namespace heddle {
namespace {

// Little-endian, as it is in the file. Two areas of records follow, each record the XXH64 of an
// encoded event and then the encoded event.
struct Header {
  uint32_t magic;
  uint32_t zero;
  uint64_t
      used[2];  // bytes of records of an area in the low half, their complement in the high one
};
constexpr uint32_t kMagic = 0x32544448;  // "HDT2"
constexpr size_t kArea = TraceTail::kHalf;
constexpr size_t kSize = sizeof(Header) + 2 * kArea;

uint64_t count(uint32_t used) {
  return used | uint64_t{~used} << 32;
}

}  // namespace

TraceTail::TraceTail(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "creating " + file.string());
  // Allocated now: a full disk must be an error here, not a SIGBUS at some store.
  const int error = posix_fallocate(fd, 0, kSize);
  void* at = error ? MAP_FAILED : mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int code = error ? error : errno;
  close(fd);
  if (at == MAP_FAILED)
    throw std::system_error(code, std::generic_category(), "mapping " + file.string());
  bytes_ = static_cast<uint8_t*>(at);
  // Or the first store would have the kernel read all of it, zeros, ahead.
  madvise(bytes_, kSize, MADV_RANDOM);
  const Header header{kMagic, 0, {count(0), count(0)}};
  std::memcpy(bytes_, &header, sizeof header);
}

TraceTail::~TraceTail() {
  munmap(bytes_, kSize);
}

void TraceTail::commit() {
  __atomic_store_n(&reinterpret_cast<Header*>(bytes_)->used[half_], count(used_), __ATOMIC_RELEASE);
}

bool TraceTail::append(std::span<const uint8_t> encoded) {
  const uint64_t check = XXH64(encoded.data(), encoded.size(), 0);
  if (encoded.size() + sizeof check > kArea - used_) return false;
  uint8_t* to = bytes_ + sizeof(Header) + half_ * kArea + used_;
  std::memcpy(to, &check, sizeof check);
  std::memcpy(to + sizeof check, encoded.data(), encoded.size());
  used_ += static_cast<uint32_t>(sizeof check + encoded.size());
  commit();
  return true;
}

void TraceTail::clear() {
  turn();
  turn();
}

void TraceTail::turn() {
  half_ = 1 - half_;
  used_ = 0;
  commit();
}

namespace {

// An area's events, in their order.
std::vector<Event> read_area(std::span<const uint8_t> area, uint64_t offset,
                             const std::string& file) {
  std::vector<Event> events;
  const auto damaged = [&](const std::string& what) {
    return TraceError(file + " at offset " + std::to_string(offset) + ": " + what);
  };
  while (!area.empty()) {
    uint64_t check = 0;
    uint32_t first = 0;
    if (area.size() < sizeof check + sizeof first) throw damaged("a record that is cut off");
    std::memcpy(&check, area.data(), sizeof check);
    std::memcpy(&first, area.data() + sizeof check, sizeof first);
    const uint64_t size = record_size(first);
    if (size > area.size() - sizeof check) throw damaged("a record that is cut off");
    auto record = area.subspan(sizeof check, size);
    if (XXH64(record.data(), record.size(), 0) != check)
      throw damaged("the checksum does not match: the event is damaged");
    std::deque<Event> decoded;
    try {
      decode(record, decoded);
    } catch (const TraceError& error) {
      throw damaged(error.what());
    }
    for (auto& event : decoded) events.push_back(std::move(event));
    offset += sizeof check + size;
    area = area.subspan(sizeof check + size);
  }
  return events;
}

}  // namespace

std::vector<Event> TraceTail::read(const std::filesystem::path& file, uint64_t next) {
  std::vector<Event> events;
  std::ifstream in(file, std::ios::binary);
  if (!in) return events;
  const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), {});
  const auto damaged = [&](const std::string& what) {
    return TraceError(file.string() + " at offset 0: " + what);
  };
  // Killed while it was being made: still without a byte that is not zero.
  if (next == 0 && std::ranges::all_of(bytes, [](char byte) { return byte == 0; })) return events;
  Header header{};
  if (bytes.size() < sizeof header) throw damaged("shorter than its header");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kMagic || header.zero != 0) throw damaged("not the tail of a trace");
  const std::span data(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  std::array<std::vector<Event>, 2> areas;
  for (size_t i = 0; i < 2; ++i) {
    const auto used = static_cast<uint32_t>(header.used[i]);
    if (header.used[i] != count(used) || used > kArea) throw damaged("its size is damaged");
    const uint64_t offset = sizeof header + i * kArea;
    if (used == 0) continue;
    if (offset + used > bytes.size()) throw damaged("shorter than its header says");
    areas[i] = read_area(data.subspan(offset, used), offset, file.string());
  }
  for (auto& area : areas)
    for (auto& event : area)
      if (event.number >= next) events.push_back(std::move(event));
  return events;
}

}  // namespace heddle
