// Feeds damaged and hostile traces to what reads them: TraceReader with its chunks, tail and log,
// Schedule and Finding. A reader may refuse, with an offset where the bytes are a trace's; it may
// not crash, hang or take memory without bounds.
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>

#include "trace_format/chunk.h"
#include "trace_format/finding.h"
#include "trace_format/reader.h"
#include "trace_format/schedule.h"
#include "trace_format/writer.h"

namespace heddle {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;
using Random = std::mt19937_64;

uint64_t below(Random& random, uint64_t n) {
  return n == 0 ? 0 : random() % n;
}

std::vector<Event> every_kind(Random& random) {
  std::vector<Event> events;
  const auto add = [&](EventBody body) {
    Event event;
    event.number = events.size();
    event.place = {static_cast<TaskId>(below(random, 4)), random(), random(), 0};
    if (random() % 2) event.registers.emplace();
    event.body = std::move(body);
    events.push_back(std::move(event));
  };
  event::Exec exec;
  exec.path = "/bin/program";
  exec.arguments = {"program", "", "with space"};
  exec.environment = {"A=b"};
  exec.working_directory = "/";
  exec.mappings.push_back({0x1000, 0x2000, 5, 2, "/bin/program",
                           FileRange{"00112233445566778899aabbccddeeff", 0x1000}});
  exec.contents.push_back({0x7000, Bytes(256, 7)});
  exec.reserved.push_back({0x60000000, 0x1000});
  add(exec);
  for (int i = 0; i < 4; ++i) {
    event::Syscall call;
    call.number = static_cast<uint32_t>(below(random, 300));
    call.result = static_cast<int64_t>(random());
    for (uint64_t n = below(random, 3); n > 0; --n)
      call.effects.push_back({random(), Bytes(below(random, 40), 1)});
    add(call);
    add(event::Instruction{2, 1, 2, 3, 4, 5});
    add(event::Signal{11, true, false, {}});
    add(event::Switch{static_cast<TaskId>(below(random, 4))});
    event::StateHash hash;
    hash.extended = random();
    hash.memory.push_back({0x1000, 0x1000, random()});
    add(hash);
  }
  add(event::Taint{"a reason"});
  add(event::TaskExit{-1, {{0x30, {0, 0, 0, 0}}}});
  add(event::ProcessExit{256});
  return events;
}

Bytes read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& path, const Bytes& bytes) {
  fs::remove(path);  // some file systems write a truncated file to the disk when it is closed
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

void damage(Random& random, Bytes& bytes) {
  if (bytes.empty()) return;
  for (uint64_t n = 1 + below(random, 4); n > 0 && !bytes.empty(); --n) {
    const size_t at = below(random, bytes.size());
    switch (below(random, 7)) {
      case 0:
        bytes[at] ^= static_cast<uint8_t>(1 << below(random, 8));
        break;
      case 1:
        bytes[at] = static_cast<uint8_t>(random());
        break;
      case 2:
        bytes.resize(at);
        break;
      case 3: {  // a field that says much
        static constexpr uint64_t kValues[] = {0, ~uint64_t{0}, 0x7fffffff, 0xffffffff, 1u << 29};
        const uint64_t value = kValues[below(random, std::size(kValues))];
        std::memcpy(bytes.data() + (at & ~size_t{3}), &value,
                    std::min<size_t>(4, bytes.size() - (at & ~size_t{3})));
        break;
      }
      case 4: {  // bytes said twice
        const Bytes piece(bytes.begin() + static_cast<ptrdiff_t>(at),
                          bytes.begin() + static_cast<ptrdiff_t>(
                                              std::min(bytes.size(), at + 1 + below(random, 64))));
        bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(below(random, bytes.size())),
                     piece.begin(), piece.end());
        break;
      }
      case 5: {  // bytes left out
        const size_t n_bytes = std::min<size_t>(bytes.size() - at, 1 + below(random, 32));
        bytes.erase(bytes.begin() + static_cast<ptrdiff_t>(at),
                    bytes.begin() + static_cast<ptrdiff_t>(at + n_bytes));
        break;
      }
      default: {  // a word that may be a pointer of Cap'n Proto's
        const size_t word = at & ~size_t{7};
        if (word + 8 > bytes.size()) break;
        uint64_t value = random() & 0x0000'000f'0000'00ff;
        value |= random() & 3;                                      // struct, list, far, other
        if (random() % 2) value |= (random() & 7) << 32;            // element size
        if (random() % 2) value |= (random() & 0x1fff'ffff) << 35;  // element count
        std::memcpy(bytes.data() + word, &value, sizeof value);
      }
    }
  }
}

struct Chunk {
  chunk::Header header;
  Bytes payload;  // decompressed
};

std::vector<Chunk> split(const Bytes& file) {
  std::vector<Chunk> chunks;
  for (size_t at = 0; at < file.size();) {
    Chunk c;
    std::memcpy(&c.header, file.data() + at, sizeof c.header);
    c.payload.resize(c.header.size);
    ZSTD_decompress(c.payload.data(), c.payload.size(), file.data() + at + sizeof c.header,
                    c.header.stored);
    at += sizeof c.header + c.header.stored;
    chunks.push_back(std::move(c));
  }
  return chunks;
}

// With sizes and checksum that fit, so that what is inside gets read.
void join(Random& random, const Chunk& c, Bytes& file) {
  Bytes stored(ZSTD_compressBound(c.payload.size()));
  stored.resize(ZSTD_compress(stored.data(), stored.size(), c.payload.data(), c.payload.size(), 1));
  auto header = c.header;
  header.stored = static_cast<uint32_t>(stored.size());
  header.size = static_cast<uint32_t>(c.payload.size());
  if (below(random, 20) == 0) header.size = static_cast<uint32_t>(random()) >> below(random, 20);
  header.checksum = 0;
  const size_t at = file.size();
  file.resize(at + sizeof header);
  file.insert(file.end(), stored.begin(), stored.end());
  std::memcpy(file.data() + at, &header, sizeof header);
  header.checksum = XXH64(file.data() + at, file.size() - at, 0);
  std::memcpy(file.data() + at, &header, sizeof header);
}

// Checksums that fit the records of a damaged tail: a header of 24 bytes, then checksum, length and
// event of each.
void mend_tail(Bytes& tail) {
  for (size_t at = 24; at + 12 <= tail.size();) {
    uint32_t length;
    std::memcpy(&length, tail.data() + at + 8, sizeof length);
    if (length == 0 || length > tail.size() - at - 12) return;
    const uint64_t check = XXH64(tail.data() + at + 8, 4 + size_t{length}, 0);
    std::memcpy(tail.data() + at, &check, sizeof check);
    at += 12 + length;
  }
}

class Fuzz {
 public:
  explicit Fuzz(uint64_t seed) : random_(seed) {
    char name[] = "/tmp/heddle-fuzz-XXXXXX";
    if (!mkdtemp(name)) throw std::runtime_error("no temporary directory");
    root_ = name;
    trace_ = root_ / "t";
    fs::create_directories(trace_);
    // One trace that ended, and one with events in its tail.
    for (const bool finish : {true, false}) {
      const auto directory = root_ / (finish ? "ended" : "killed");
      TraceWriter writer(directory);
      for (const auto& event : every_kind(random_)) {
        writer.append(event);
        if (event.number % 7 == 6 && event.number < 20) writer.flush();
      }
      if (finish) writer.finish();
    }
    ended_ = split(read_file(root_ / "ended" / "events"));
    killed_ = read_file(root_ / "killed" / "events");
    tail_ = read_file(root_ / "killed" / "tail");
    tail_.resize(std::min<size_t>(tail_.size(), 8192));
  }
  ~Fuzz() { fs::remove_all(root_); }

  // One damaged input of each kind; throws what no reader may throw.
  void once() {
    fs::remove(trace_ / "tail");
    fs::remove(trace_ / "log");
    Bytes file;
    switch (below(random_, 4)) {
      case 0:  // bytes of the file
        for (const auto& c : ended_) join(random_, c, file);
        damage(random_, file);
        break;
      case 1:  // chunks spliced
        for (uint64_t n = 1 + below(random_, 6); n > 0; --n) {
          auto c = ended_[below(random_, ended_.size())];
          if (random_() % 2) c.header.first_event = below(random_, 8);
          join(random_, c, file);
        }
        break;
      case 2:  // what is inside the chunks
        for (auto c : ended_) {
          damage(random_, c.payload);
          join(random_, c, file);
        }
        break;
      default: {  // tail and log
        file = killed_;
        auto tail = tail_;
        if (random_() % 2) damage(random_, tail);
        if (random_() % 2) mend_tail(tail);
        write_file(trace_ / "tail", tail);
        Bytes log(128 + 128 * below(random_, 4));
        for (auto& byte : log) byte = static_cast<uint8_t>(random() % 3 == 0 ? random() : 0);
        if (random_() % 2) write_file(trace_ / "log", log);
      }
    }
    write_file(trace_ / "events", file);
    read_trace();
    read_schedule();
    read_finding_text();
  }

 private:
  uint64_t random() { return random_(); }

  void read_trace() {
    try {
      TraceReader reader(trace_);
      while (reader.next()) {
      }
    } catch (const TraceError& error) {
      if (std::string(error.what()).find(" offset ") == std::string::npos)
        throw std::logic_error(std::string("an error without an offset: ") + error.what());
    }
  }

  void read_schedule() {
    std::string text = "1@5321:401156.1>2,2@0:ffffffffffffffff>1!10,3@18446744073709551615:0>4";
    for (uint64_t n = below(random_, 4); n > 0; --n) {
      static constexpr char kLetters[] = "0123456789abcdef@:.>!,-+ x\0\n\xff";
      text[below(random_, text.size())] = kLetters[below(random_, sizeof kLetters)];
    }
    if (random_() % 4 == 0) text.resize(below(random_, text.size()));
    try {
      const auto schedule = Schedule::parse(text);
      if (Schedule::parse(schedule.text()) != schedule)
        throw std::logic_error("a schedule that does not come back: " + text);
    } catch (const std::invalid_argument&) {
    }
  }

  void read_finding_text() {
    Finding finding;
    finding.sides.resize(2);
    finding.sides[0].stack.resize(2);
    finding.deciding.resize(1);
    const auto json = finding.json();
    Bytes bytes(json.begin(), json.end());
    damage(random_, bytes);
    try {
      Finding::parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    } catch (const std::runtime_error&) {
    }
  }

  Random random_;
  fs::path root_, trace_;
  std::vector<Chunk> ended_;
  Bytes killed_, tail_;
};

}  // namespace
}  // namespace heddle

int main(int argc, char** argv) {
  uint64_t iterations = 3000, seed = 1;
  CLI::App app{"Feeds damaged traces, schedules and findings to what reads them."};
  app.add_option("--iterations", iterations, "how many inputs of each kind");
  app.add_option("--seed", seed, "of the first; the same one gives the same inputs");
  CLI11_PARSE(app, argc, argv);
#ifndef __SANITIZE_ADDRESS__
  const rlimit memory{uint64_t{1} << 30, uint64_t{1} << 30};
  setrlimit(RLIMIT_AS, &memory);
#endif
  uint64_t i = 0;
  try {
    heddle::Fuzz fuzz(seed);
    for (; i < iterations; ++i) fuzz.once();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "iteration %llu of seed %llu: %s\n", static_cast<unsigned long long>(i),
                 static_cast<unsigned long long>(seed), error.what());
    return 1;
  }
  std::printf("%llu iterations\n", static_cast<unsigned long long>(iterations));
  return 0;
}
