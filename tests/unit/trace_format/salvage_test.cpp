// What a recorder that was killed leaves in tail and log.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

#include "trace_format/logged_calls.h"
#include "trace_format/reader.h"
#include "trace_format/trace_tail.h"
#include "trace_format/wire.h"
#include "trace_format/writer.h"

namespace heddle {
namespace {

namespace fs = std::filesystem;

Event clock_read(uint64_t number) {
  Event event;
  event.number = number;
  event.place = {2, 100 + number, 0x401000, 0};
  event::Syscall call;
  call.number = 228;
  call.arguments = {1, 0x7ffe0000, 3, 4, 5, 6};
  call.effects.push_back({0x7ffe0000, std::vector<uint8_t>(16, static_cast<uint8_t>(number))});
  event.body = std::move(call);
  return event;
}

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void put(const fs::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

// A log file whose entries are the events from `first` to before `end`; returns its used bytes.
size_t put_log(const fs::path& file, uint64_t first, uint64_t end) {
  std::vector<uint8_t> entries;
  for (uint64_t n = first; n < end; ++n) {
    const size_t at = entries.size();
    EXPECT_TRUE(append_entry(clock_read(n), entries));
    auto* entry = reinterpret_cast<heddle_log_entry*>(entries.data() + at);
    entry->check = heddle_log_check(entry, first, static_cast<uint32_t>(at));
  }
  heddle_log log{};
  log.magic = HEDDLE_LOG_MAGIC;
  log.mode = HEDDLE_LOG_RECORD;
  log.capacity = 4096;
  log.used = heddle_log_count(static_cast<uint32_t>(entries.size()));
  log.first_event = first;
  const size_t used = sizeof log + entries.size();
  std::string bytes(sizeof log + log.capacity, '\0');
  std::memcpy(bytes.data(), &log, sizeof log);
  std::memcpy(bytes.data() + sizeof log, entries.data(), entries.size());
  put(file, bytes);
  return used;
}

class Salvage : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/heddle-salvage-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    directory_ = root_ / "t";
  }
  void TearDown() override { fs::remove_all(root_); }

  // Appends events 0 to before `end`; those before `flushed` end up in a chunk.
  void write(uint64_t flushed, uint64_t end) {
    TraceWriter writer(directory_);
    for (uint64_t n = 0; n < end; ++n) {
      if (n == flushed) writer.flush();
      writer.append(clock_read(n));
    }
  }

  // Reads all and expects the events 0 to before `end`.
  void expect_events(uint64_t end) {
    TraceReader reader(directory_);
    const auto events = reader.read_all();
    ASSERT_EQ(events.size(), end);
    for (uint64_t n = 0; n < end; ++n) EXPECT_EQ(events[n], clock_read(n));
    EXPECT_NE(reader.cut_off().find("cut off"), std::string::npos);
  }

  fs::path root_, directory_;
};

TEST_F(Salvage, AnEntryOfTheLogComesBackAsItsEvent) {
  auto event = clock_read(7);
  auto& call = std::get<event::Syscall>(event.body);
  call.effects.push_back({0x5000, {1, 2, 3}});
  call.effects.push_back({0x6000, std::vector<uint8_t>(100'000, 9)});
  std::vector<uint8_t> entries;
  ASSERT_TRUE(append_entry(event, entries));
  EXPECT_EQ(entry_size(entries), entries.size());
  EXPECT_EQ(logged_call(entries, 7, 0), event);
  ASSERT_TRUE(append_entry(clock_read(8), entries));
  EXPECT_EQ(entry_count(entries), 2u);
  EXPECT_FALSE(entry_count(std::span(entries).first(entries.size() - 8)));
  const auto before = entries;
  auto other = event;
  other.registers.emplace().values[3] = 17;
  std::vector<uint8_t> with_registers;
  ASSERT_TRUE(append_entry(other, with_registers));
  EXPECT_EQ(logged_call(with_registers, 7, 0), other);
  EXPECT_FALSE(entry_size(with_registers)) << "no recorder writes it";
  other = event;
  std::get<event::Syscall>(other.body).child = 3;
  EXPECT_FALSE(append_entry(other, entries));
  other.body = event::Switch{2};
  EXPECT_FALSE(append_entry(other, entries));
  EXPECT_EQ(entries, before);
}

TEST_F(Salvage, EntriesThatWereDrainedAreEventsOfTheTail) {
  {
    TraceWriter writer(directory_);
    writer.append(clock_read(0));
    std::vector<uint8_t> entries;
    for (uint64_t n = 1; n < 5; ++n) ASSERT_TRUE(append_entry(clock_read(n), entries));
    writer.append_calls(entries, 4, 0);
    writer.append(clock_read(5));
    EXPECT_EQ(writer.events(), 6u);
  }
  expect_events(6);
}

TEST_F(Salvage, EntriesThatWereDrainedAreEventsOfAChunk) {
  TraceWriter writer(directory_);
  std::vector<uint8_t> entries;
  constexpr uint64_t kMany = 8000;  // more than the tail has room for
  for (uint64_t n = 0; n < kMany; ++n) ASSERT_TRUE(append_entry(clock_read(n), entries));
  writer.append_calls(entries, kMany, 0);
  writer.append(clock_read(kMany));
  writer.finish();
  TraceReader reader(directory_);
  const auto events = reader.read_all();
  ASSERT_EQ(events.size(), kMany + 1);
  for (uint64_t n = 0; n <= kMany; ++n) EXPECT_EQ(events[n], clock_read(n));
}

// Events from `first` to before `end` as entries.
std::vector<uint8_t> entries_of(uint64_t first, uint64_t end) {
  std::vector<uint8_t> entries;
  for (uint64_t n = first; n < end; ++n) EXPECT_TRUE(append_entry(clock_read(n), entries));
  return entries;
}

TEST_F(Salvage, WholeLogsAreInTheirPlaceAmongTheEvents) {
  constexpr uint64_t kMany = 3000, kEvents = 2 * kMany + 5;
  const auto first = entries_of(1, kMany), second = entries_of(kMany + 2, 2 * kMany);
  const auto third = entries_of(2 * kMany, kEvents);
  TraceWriter writer(directory_);
  writer.append(clock_read(0));
  writer.append_log(first, kMany - 1, 0);
  writer.append(clock_read(kMany));
  writer.append(clock_read(kMany + 1));
  writer.append_log(second, kMany - 2, 0);
  writer.append_log(third, 5, 0);
  EXPECT_EQ(writer.events(), kEvents);
  writer.flush();
  expect_events(kEvents);
  writer.append(clock_read(kEvents));
  writer.finish();
  TraceReader reader(directory_);
  EXPECT_EQ(reader.read_all().size(), kEvents + 1);
  EXPECT_EQ(reader.cut_off(), "");
}

TEST_F(Salvage, ALogThatIsNotWhatItSaysEndsTheTrace) {
  const auto entries = entries_of(1, 4);
  TraceWriter writer(directory_);
  writer.append(clock_read(0));
  writer.append_log(entries, 7, 0);
  writer.flush();
  ASSERT_TRUE(writer.failure());
  EXPECT_NE(writer.failure()->find("log of system calls is damaged"), std::string::npos);
  expect_events(1);
}

// Killed while a log was being made a chunk: what follows it is in the tail and the other log.
TEST_F(Salvage, ALogBetweenTheEventsOfTheTail) {
  const auto log = directory_ / "log", later = root_ / "later";
  for (const bool in_order : {true, false}) {
    fs::remove_all(directory_);
    write(4, 6);
    put_log(log, 6, 10);
    put_log(later, 14, 17);
    auto one = bytes_of(log), other = bytes_of(later);
    if (!in_order) std::swap(one, other);
    one.resize(HEDDLE_LOG_SIZE);
    put(log, one + other);
    expect_events(10);
    fs::remove(directory_ / "tail");
    TraceTail tail(directory_ / "tail");
    for (const uint64_t n : {4, 5, 10, 11, 12, 13}) {
      std::vector<uint8_t> encoded;
      encode(clock_read(n), encoded);
      if (n == 10) tail.turn();
      ASSERT_TRUE(tail.append(encoded));
    }
    expect_events(17);
  }
}

TEST_F(Salvage, CallsAreReadAsEntriesAndAsEvents) {
  TraceWriter writer(directory_);
  std::vector<uint8_t> entries;
  for (uint64_t n = 1; n < 5; ++n) ASSERT_TRUE(append_entry(clock_read(n), entries));
  writer.append(clock_read(0));
  writer.append_calls(entries, 4, 17);
  writer.append(clock_read(5));
  writer.append_calls(std::span(entries).first(*entry_size(entries)), 1, 18);
  writer.finish();
  TraceReader reader(directory_);
  EXPECT_FALSE(reader.next_calls()) << "an event is next";
  EXPECT_EQ(reader.next(), clock_read(0));
  const auto calls = reader.next_calls();
  ASSERT_TRUE(calls);
  EXPECT_EQ(calls->first_event, 1u);
  EXPECT_EQ(calls->events, 4u);
  EXPECT_EQ(calls->time_ns, 17u);
  EXPECT_TRUE(std::ranges::equal(calls->entries, entries));
  EXPECT_FALSE(reader.next_calls());
  EXPECT_EQ(reader.next(), clock_read(5));
  EXPECT_EQ(reader.next()->number, 6u) << "the same as an event";
  EXPECT_FALSE(reader.next_calls());
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.cut_off(), "");
}

TEST_F(Salvage, WhatWasAppendedIsThereWithoutAFlush) {
  write(4, 10);
  expect_events(10);
}

// Chunks that are not written yet are in the one half of the tail, what follows in the other.
TEST_F(Salvage, BothHalvesOfTheTailAreRead) {
  constexpr uint64_t kMany = 6000;
  for (uint64_t end = kMany; end < kMany + 3; ++end) {
    fs::remove_all(directory_);
    write(0, end);
    expect_events(end);
    EXPECT_GT(fs::file_size(directory_ / "events"), 0u);
  }
}

TEST_F(Salvage, AHalfOfTheTailFollowsTheOther) {
  const auto tail_of = [&](uint64_t turned_at, uint64_t end) {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    put(directory_ / "events", {});
    TraceTail tail(directory_ / "tail");
    for (uint64_t n = 0; n < end; ++n) {
      std::vector<uint8_t> encoded;
      encode(clock_read(n), encoded);
      if (n == turned_at) tail.turn();
      ASSERT_TRUE(tail.append(encoded));
    }
  };
  tail_of(3, 7);
  expect_events(7);
  tail_of(0, 5);
  expect_events(5);
}

TEST_F(Salvage, TheTailMayHoldEventsThatAreInAChunkAlready) {
  write(0, 6);
  const auto tail = bytes_of(directory_ / "tail");
  fs::remove_all(directory_);
  write(6, 7);
  put(directory_ / "tail", tail);
  expect_events(6);
}

TEST_F(Salvage, TheLogFollowsTheTail) {
  write(4, 10);
  put_log(directory_ / "log", 10, 15);
  expect_events(15);
}

TEST_F(Salvage, TheLogMayHoldEventsThatWereDrainedAlready) {
  write(4, 10);
  put_log(directory_ / "log", 7, 12);
  expect_events(12);
}

TEST_F(Salvage, ALogThatDoesNotFollowIsNotUsed) {
  write(4, 10);
  put_log(directory_ / "log", 12, 14);
  expect_events(10);
}

TEST_F(Salvage, AFinishedTraceHasNeither) {
  TraceWriter writer(directory_);
  put(writer.syscall_log(), "anything");
  writer.append(clock_read(0));
  writer.finish();
  EXPECT_FALSE(fs::exists(directory_ / "tail"));
  EXPECT_FALSE(fs::exists(directory_ / "log"));
}

// A flipped byte in what is used of the file is an error with an offset, and so is a cut.
void expect_damage_shows(const fs::path& directory, const fs::path& file, size_t used) {
  const auto whole = bytes_of(file);
  const auto expect_error = [&](const std::string& bytes, size_t at) {
    put(file, bytes);
    TraceReader reader(directory);
    try {
      reader.read_all();
      ADD_FAILURE() << file << ": unnoticed at " << at;
    } catch (const TraceError& error) {
      EXPECT_NE(std::string(error.what()).find("at offset"), std::string::npos);
    }
  };
  for (size_t at = 0; at < used; ++at) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    expect_error(damaged, at);
    expect_error(whole.substr(0, at), at);
  }
}

TEST_F(Salvage, FilesThatWereJustBeingMadeHaveNothing) {
  std::filesystem::create_directories(directory_);
  put(directory_ / "events", {});
  for (const size_t size : {size_t{0}, size_t{4096}}) {
    for (const auto* name : {"tail", "log"}) put(directory_ / name, std::string(size, '\0'));
    TraceReader reader(directory_);
    EXPECT_FALSE(reader.next());
    EXPECT_NE(reader.cut_off(), "");
  }
}

TEST_F(Salvage, ADamagedTailIsAnError) {
  write(4, 6);
  size_t used = 0;
  std::memcpy(&used, bytes_of(directory_ / "tail").data() + 8, 4);
  expect_damage_shows(directory_, directory_ / "tail", 24 + used);
}

TEST_F(Salvage, ADamagedLogIsAnError) {
  write(4, 6);
  const size_t used = put_log(directory_ / "log", 6, 9);
  const auto whole = bytes_of(directory_ / "log");
  for (size_t at = sizeof(heddle_log); at < used; ++at) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    put(directory_ / "log", damaged);
    EXPECT_THROW(TraceReader(directory_).read_all(), TraceError) << at;
  }
  for (const size_t at : {size_t{0}, size_t{8}, size_t{16}, size_t{20}, size_t{32}}) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    put(directory_ / "log", damaged);
    EXPECT_THROW(TraceReader(directory_).read_all(), TraceError) << at;
  }
  for (size_t size = 0; size < used; ++size) {
    put(directory_ / "log", whole.substr(0, size));
    EXPECT_THROW(TraceReader(directory_).read_all(), TraceError) << size;
  }
}

}  // namespace
}  // namespace heddle
