#include "trace_format/trace_tail.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "trace_format/wire.h"

namespace heddle {
namespace {

// Little-endian, as it is in the file; records follow, each the XXH64 of an encoded event and then
// the encoded event.
struct Header {
  uint32_t magic;
  uint32_t zero;
  uint64_t used;  // bytes of records in the low half, their complement in the high one
};
constexpr uint32_t kMagic = 0x31544448;  // "HDT1"

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
  const Header header{kMagic, 0, count(0)};
  std::memcpy(bytes_, &header, sizeof header);
}

TraceTail::~TraceTail() {
  munmap(bytes_, kSize);
}

bool TraceTail::append(std::span<const uint8_t> encoded) {
  const uint64_t check = XXH64(encoded.data(), encoded.size(), 0);
  if (encoded.size() > kSize - sizeof(Header) - used_ - sizeof check) return false;
  uint8_t* to = bytes_ + sizeof(Header) + used_;
  std::memcpy(to, &check, sizeof check);
  std::memcpy(to + sizeof check, encoded.data(), encoded.size());
  used_ += static_cast<uint32_t>(sizeof check + encoded.size());
  __atomic_store_n(&reinterpret_cast<Header*>(bytes_)->used, count(used_), __ATOMIC_RELEASE);
  return true;
}

void TraceTail::clear() {
  used_ = 0;
  __atomic_store_n(&reinterpret_cast<Header*>(bytes_)->used, count(0), __ATOMIC_RELEASE);
}

std::vector<Event> TraceTail::read(const std::filesystem::path& file, uint64_t next) {
  std::vector<Event> events;
  std::ifstream in(file, std::ios::binary);
  if (!in) return events;
  const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), {});
  uint64_t offset = 0;
  const auto damaged = [&](const std::string& what) {
    return TraceError(file.string() + " at offset " + std::to_string(offset) + ": " + what);
  };
  Header header{};
  if (bytes.size() < sizeof header) throw damaged("shorter than its header");
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto used = static_cast<uint32_t>(header.used);
  if (header.magic != kMagic || header.zero != 0) throw damaged("not the tail of a trace");
  if (header.used != count(used)) throw damaged("its size is damaged");
  if (used > bytes.size() - sizeof header) throw damaged("shorter than its header says");
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  offset = sizeof header;
  while (offset < sizeof header + used) {
    uint64_t check = 0;
    uint32_t first = 0;
    const uint64_t left = sizeof header + used - offset;
    if (left < sizeof check + sizeof first) throw damaged("a record that is cut off");
    std::memcpy(&check, data + offset, sizeof check);
    std::memcpy(&first, data + offset + sizeof check, sizeof first);
    const uint64_t size = record_size(first);
    if (size > left - sizeof check) throw damaged("a record that is cut off");
    std::span<const uint8_t> record(data + offset + sizeof check, size);
    if (XXH64(record.data(), record.size(), 0) != check)
      throw damaged("the checksum does not match: the event is damaged");
    std::deque<Event> decoded;
    try {
      decode(record, decoded);
    } catch (const TraceError& error) {
      throw damaged(error.what());
    }
    offset += sizeof check + size;
    for (auto& event : decoded) {
      if (event.number < next) continue;
      if (event.number > next) return events;
      events.push_back(std::move(event));
      ++next;
    }
  }
  return events;
}

}  // namespace heddle
