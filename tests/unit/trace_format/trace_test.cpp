#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <xxhash.h>

#include <cstring>
#include <fstream>
#include <random>

#include "trace_format/chunk.h"
#include "trace_format/logged_calls.h"
#include "trace_format/reader.h"
#include "trace_format/writer.h"

namespace heddle {
namespace {

namespace fs = std::filesystem;

class TraceFile : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/heddle-trace-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  static std::vector<Event> every_kind() {
    Registers registers;
    for (size_t i = 0; i < kRegisterCount; ++i) registers.values[i] = ~uint64_t{0} - i;
    event::Exec exec;
    exec.path = "/bin/program";
    exec.arguments = {"program", "", "with space"};
    exec.environment = {"A=b"};
    exec.working_directory = "/";
    exec.registers = registers;
    exec.mappings.push_back({0x1000, 0x2000, 5, 2, "/bin/program",
                             FileRange{"00112233445566778899aabbccddeeff", 0x1000}});
    exec.mappings.push_back({0x7000, 0x1000, 3, 2, "[stack]", std::nullopt});
    exec.contents.push_back({0x7000, std::vector<uint8_t>(4096, 7)});
    exec.reserved.push_back({0x60000000, 0x1000});
    exec.brk = 0x555555;
    exec.pid = 4711;
    exec.blocked_signals = 1;
    exec.ignored_signals = uint64_t{1} << 63;
    event::Syscall call{1,
                        {1, 2, 3, 4, 5, 6},
                        -11,
                        {{0x10, {1, 2}}, {0x20, {}}},
                        FileRange{"", 0x2000, 7, 0x3000},
                        3,
                        true,
                        {9, 8},
                        {"/a name", ""},
                        true};
    event::Signal signal{11, true, true, {}};
    signal.siginfo[127] = 0xff;
    std::vector<EventBody> bodies{exec,
                                  call,
                                  event::Instruction{2, 1, 2, 3, 4, 5},
                                  event::Instruction{3, 1, 2, 3, 4, 5, Register::r15, 6},
                                  signal,
                                  event::Switch{9},
                                  event::TaskExit{-1, {{0x30, {0, 0, 0, 0}}}},
                                  event::Taint{"a reason"},
                                  event::Released{"it was asked for"},
                                  event::ProcessExit{256}};
    std::vector<Event> events;
    for (auto& body : bodies) {
      Event event;
      event.number = events.size();
      event.time_ns = 1000 * event.number;
      event.place = {static_cast<TaskId>(event.number), ~uint64_t{0}, 0x401000, 1};
      if (event.number % 2) event.registers = registers;
      event.body = std::move(body);
      events.push_back(std::move(event));
    }
    return events;
  }

  fs::path write(const std::vector<Event>& events, bool finish = true, size_t per_chunk = 3) {
    const auto directory = root_ / "t";
    fs::remove_all(directory);
    TraceWriter writer(directory);
    for (const auto& event : events) {
      writer.append(event);
      if (event.number % per_chunk == per_chunk - 1) writer.flush();
    }
    finish ? writer.finish() : writer.flush();
    return directory;
  }

  static std::string bytes_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  static void put(const fs::path& file, const std::string& bytes) {
    fs::remove(file);  // some file systems write a truncated file to the disk when it is closed
    std::ofstream(file, std::ios::binary) << bytes;
  }

  fs::path root_;
};

TEST_F(TraceFile, EveryKindOfEventComesBack) {
  const auto events = every_kind();
  TraceReader reader(write(events));
  EXPECT_EQ(reader.read_all(), events);
  EXPECT_EQ(reader.cut_off(), "");
}

TEST_F(TraceFile, IsPrivateToItsOwner) {
  const auto directory = write(every_kind());
  EXPECT_EQ(fs::status(directory).permissions(), fs::perms::owner_all);
}

TEST_F(TraceFile, WithoutItsEndSaysSoAndGivesWhatWasFlushed) {
  const auto events = every_kind();
  TraceReader reader(write(events, false));
  EXPECT_EQ(reader.read_all(), events);
  EXPECT_NE(reader.cut_off().find("cut off"), std::string::npos);
}

TEST_F(TraceFile, CutAtAnyByteGivesAPrefixAndAnOffset) {
  const auto events = every_kind();
  const auto directory = write(events);
  const auto whole = bytes_of(directory / "events");
  for (size_t size = 0; size < whole.size(); ++size) {
    put(directory / "events", whole.substr(0, size));
    TraceReader reader(directory);
    const auto got = reader.read_all();
    ASSERT_LE(got.size(), events.size());
    EXPECT_TRUE(std::equal(got.begin(), got.end(), events.begin())) << size;
    EXPECT_NE(reader.cut_off().find("at offset"), std::string::npos) << size;
  }
}

TEST_F(TraceFile, AFlippedByteAnywhereIsAnErrorWithAnOffset) {
  const auto directory = write(every_kind());
  const auto whole = bytes_of(directory / "events");
  for (size_t at = 0; at < whole.size(); ++at) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    put(directory / "events", damaged);
    TraceReader reader(directory);
    try {
      reader.read_all();
      // A length that grew past the file's end looks like a recording that was cut off.
      EXPECT_NE(reader.cut_off().find("at offset"), std::string::npos) << at;
    } catch (const TraceError& error) {
      EXPECT_NE(std::string(error.what()).find("offset"), std::string::npos) << at;
    }
  }
}

// The checksum is right: whoever wrote it meant it.
TEST_F(TraceFile, AChunkHoldsAsManyEventsAsItSays) {
  const auto directory = write(every_kind());
  const auto whole = bytes_of(directory / "events");
  for (const int difference : {-1, 1}) {
    auto bytes = whole;
    chunk::Header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    header.events += static_cast<uint32_t>(difference);
    header.checksum = 0;
    std::memcpy(bytes.data(), &header, sizeof header);
    header.checksum = XXH64(bytes.data(), sizeof header + header.stored, 0);
    std::memcpy(bytes.data(), &header, sizeof header);
    put(directory / "events", bytes);
    TraceReader reader(directory);
    EXPECT_THAT([&] { reader.read_all(); },
                testing::ThrowsMessage<TraceError>(testing::HasSubstr("another number of events")));
  }
}

TEST_F(TraceFile, HostilePayloadsNeverCrashTheDecoder) {
  std::vector<uint8_t> good;
  for (const auto& event : every_kind()) encode(event, good);
  Event call;
  call.body = event::Syscall{1, {1, 2, 3, 4, 5, 6}, 3, {{0x1000, {1, 2, 3}}}, {}, 0, false};
  std::vector<uint8_t> entries;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(append_entry(call, entries));
  encode_calls(entries, 100, 7, good);
  std::mt19937_64 random(1);
  for (int round = 0; round < 20'000; ++round) {
    auto bytes = good;
    for (auto flips = 1 + random() % 8; flips > 0; --flips)
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    std::span<const uint8_t> left = bytes;
    try {
      std::deque<Event> events;
      while (!left.empty()) decode(left, events);
    } catch (const TraceError&) {
      continue;
    }
  }
}

TEST_F(TraceFile, ADirectoryInUseIsRefused) {
  const auto directory = write(every_kind());
  EXPECT_THROW(TraceWriter{directory}, std::system_error);
}

TEST_F(TraceFile, PinnedFilesAreNamedByDigestOnly) {
  const auto directory = root_ / "t";
  TraceWriter writer(directory);
  put(root_ / "file", "contents");
  const auto name = writer.pin(root_ / "file");
  EXPECT_EQ(writer.pin(root_ / "file"), name);
  writer.finish();
  TraceReader reader(directory);
  EXPECT_EQ(bytes_of(reader.pinned(name)), "contents");
  EXPECT_THROW(reader.pinned("../../etc/passwd"), TraceError);
  EXPECT_THROW(reader.pinned(std::string(32, '0')), TraceError);
}

// A list of elements without a size takes no bytes and would fill the memory.
TEST(Wire, AListOfNothingIsNotMuch) {
  Event event;
  event::Syscall call;
  call.effects.push_back({0x1000, {1, 2, 3, 4, 5, 6, 7, 8}});
  event.body = call;
  std::vector<uint8_t> bytes;
  encode(event, bytes);
  // The list's tag (https://capnproto.org/encoding.html#lists): one element of one data word and
  // one pointer becomes 2^25 elements of no words.
  const uint64_t tag = 0x0001'0001'0000'0004, many = uint64_t{1} << 27;
  bool found = false;
  for (size_t at = sizeof(uint32_t); at + 8 <= bytes.size(); at += 8) {
    if (std::memcmp(bytes.data() + at, &tag, 8) != 0) continue;
    std::memcpy(bytes.data() + at, &many, 8);
    found = true;
  }
  ASSERT_TRUE(found);
  std::span<const uint8_t> left(bytes);
  std::deque<Event> events;
  EXPECT_THROW(decode(left, events), TraceError);
}

}  // namespace
}  // namespace heddle
