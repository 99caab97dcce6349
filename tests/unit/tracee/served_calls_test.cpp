// Which calls the runtime makes by itself, and what it logs of them.
#include "machine/runtime/served_calls.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "tests/unit/tracee/runtime_fixture.h"

namespace heddle {
namespace {

constexpr uint64_t kWord = kData + 64, kNowhere = 0x10, kBuffer = kData + 1024;
constexpr int64_t kAgain = -11;

class ServedCalls : public Runtime {
 protected:
  uint64_t remote(uint64_t number, const std::array<uint64_t, 6>& arguments) {
    const int64_t got = process_.remote_syscall(number, arguments);
    EXPECT_GE(got, 0) << number << ": " << std::strerror(static_cast<int>(-got));
    return static_cast<uint64_t>(got);
  }
  uint64_t open_file(const std::string& path, uint64_t flags) {
    return remote(SYS_open, {process_.stage(path), flags, 0600, 0, 0, 0});
  }
  std::array<uint32_t, 2> pair(uint64_t number, const std::array<uint64_t, 6>& arguments) {
    remote(number, arguments);
    return process_.memory().load<std::array<uint32_t, 2>>(kBuffer).value_or(
        std::array<uint32_t, 2>{});
  }
  std::array<uint32_t, 2> pipe(uint64_t flags) {
    return pair(SYS_pipe2, {kBuffer, flags, 0, 0, 0, 0});
  }
  std::array<uint32_t, 2> sockets(uint64_t type) {
    return pair(SYS_socketpair, {AF_UNIX, type, 0, kBuffer, 0, 0});
  }
  void put(uint64_t descriptor, const std::string& text) {
    remote(SYS_write, {descriptor, process_.stage(text), text.size(), 0, 0, 0});
  }
  static std::string text(const MemoryEffect& effect) {
    return {effect.bytes.begin(), effect.bytes.end()};
  }
  void set_kind(uint64_t descriptor, uint8_t kind) {
    process_.memory().store<uint8_t>(
        layout::kRuntimeData.start + offsetof(heddle_runtime_data, descriptors) + descriptor, kind);
  }
};

TEST_F(ServedCalls, Clocks) {
  constexpr uint64_t kReadClock = offsetof(heddle_runtime_data, clock_gettime);
  const auto with_vdso = reinterpret_cast<uint64_t>(data().clock_gettime);
  auto call = serve(SYS_clock_gettime, {1, kData, 0, 0, 0, 0});
  ASSERT_TRUE(call);
  ASSERT_EQ(call->effects.size(), 1u);
  EXPECT_EQ(call->effects[0].bytes.size(), 16u);
  call = serve(SYS_gettimeofday, {kData, kData + 32, 0, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->effects.size(), 2u);
  call = serve(SYS_time, {kData, 0, 0, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->effects.at(0).bytes.size(), 8u);
  call = serve(SYS_time, {0, 0, 0, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_TRUE(call->effects.empty());
  // With the vDSO or without, a clock goes on; those that it does not read are the kernel's.
  const auto now = [&](uint64_t clock) {
    const auto read = serve(SYS_clock_gettime, {clock, kData, 0, 0, 0, 0});
    std::array<uint64_t, 2> time{};
    if (read && read->effects.size() == 1 && read->effects[0].bytes.size() == sizeof time)
      std::memcpy(time.data(), read->effects[0].bytes.data(), sizeof time);
    return time;
  };
  for (const uint64_t clock : {0, 1, 2, 3, 4, 5, 6, 7, 11}) {
    process_.memory().store<uint64_t>(layout::kRuntimeData.start + kReadClock, with_vdso);
    const auto first = now(clock);
    process_.memory().store<uint64_t>(layout::kRuntimeData.start + kReadClock, 0);
    const auto second = now(clock);
    EXPECT_LE(first, second) << clock;
    EXPECT_NE(first[0] + first[1], 0u) << clock;
    EXPECT_LE(second[0] - first[0], 60u) << clock;
    EXPECT_LT(first[1], 1'000'000'000u);
  }
  EXPECT_EQ(serve(SYS_clock_gettime, {99, kData, 0, 0, 0, 0})->result, -EINVAL);
  EXPECT_EQ(serve(SYS_clock_gettime, {1, 0, 0, 0, 0, 0}), std::nullopt);
  // What was written before the fault is not the runtime's to find out.
  EXPECT_FALSE(serve(SYS_clock_gettime, {1, kNowhere, 0, 0, 0, 0}));
}

TEST_F(ServedCalls, FutexesThatDoNotWait) {
  process_.memory().store<uint32_t>(kWord, 1);
  auto call = serve(SYS_futex, {kWord, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, 0);
  EXPECT_FALSE(serve(SYS_futex, {kWord, FUTEX_WAIT_PRIVATE, 1, 0, 0, 0}));
  call = serve(SYS_futex, {kWord, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, kAgain);
  EXPECT_TRUE(serve(SYS_futex, {kWord, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 2, 0, 0, ~0u}));
  // What the kernel would find wrong first is left to it.
  EXPECT_FALSE(serve(SYS_futex, {kWord, FUTEX_WAIT_BITSET, 2, 0, 0, 0}));
  EXPECT_FALSE(serve(SYS_futex, {kWord + 1, FUTEX_WAIT, 2, 0, 0, 0}));
  EXPECT_FALSE(serve(SYS_futex, {kNowhere, FUTEX_WAIT, 2, 0, 0, 0}));
  EXPECT_FALSE(serve(SYS_futex, {kWord, FUTEX_WAIT, 2, kNowhere, 0, 0}));
  EXPECT_FALSE(serve(SYS_futex, {kWord, FUTEX_LOCK_PI, 2, 0, 0, 0}));
  process_.memory().store<std::array<int64_t, 2>>(kData + 128, {0, 1'000'000'000});
  EXPECT_FALSE(serve(SYS_futex, {kWord, FUTEX_WAIT, 2, kData + 128, 0, 0}));
  process_.memory().store<std::array<int64_t, 2>>(kData + 128, {0, 999'999'999});
  EXPECT_TRUE(serve(SYS_futex, {kWord, FUTEX_WAIT, 2, kData + 128, 0, 0}));
}

TEST_F(ServedCalls, QuestionsToDescriptors) {
  const auto ends = pipe(0);
  put(ends[1], "seven");
  auto call = serve(SYS_ioctl, {ends[0], FIONREAD, kData, 0, 0, 0});
  ASSERT_TRUE(call);
  ASSERT_EQ(call->effects.size(), 1u);
  EXPECT_EQ(call->effects[0].bytes, (std::vector<uint8_t>{5, 0, 0, 0}));
  call = serve(SYS_ioctl, {ends[0], TCGETS, kData, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, -ENOTTY);
  EXPECT_TRUE(call->effects.empty());
  const uint64_t terminal = open_file("/dev/ptmx", O_RDWR | O_NOCTTY);
  for (const auto& [command, size] : {std::pair<uint64_t, size_t>{TCGETS, 36}, {TIOCGWINSZ, 8}}) {
    call = serve(SYS_ioctl, {terminal, command, kData, 0, 0, 0});
    ASSERT_TRUE(call);
    EXPECT_EQ(call->effects.at(0).bytes.size(), size);
  }
  process_.memory().store<uint32_t>(kWord, 1);
  call = serve(SYS_ioctl, {ends[0], FIONBIO, kWord, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_TRUE(call->effects.empty());
  call = serve(SYS_fcntl, {ends[0], F_GETFL, 0, 0, 0, 0});
  EXPECT_TRUE(call->result & O_NONBLOCK);
  EXPECT_FALSE(serve(SYS_ioctl, {terminal, TCSETS, kData, 0, 0, 0}));
  EXPECT_FALSE(serve(SYS_ioctl, {terminal, TCGETS, kNowhere, 0, 0, 0}));
}

class PlainMemory : public ServedCalls {
 protected:
  static constexpr uint64_t kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  static constexpr uint64_t kReadWrite = PROT_READ | PROT_WRITE;

  void SetUp() override {
    ServedCalls::SetUp();
    process_.memory().store<uint64_t>(
        layout::kRuntimeData.start + offsetof(heddle_runtime_data, maps), 1);
  }
  // Where it was mapped without a stop; 0: it was not.
  uint64_t map(uint64_t size, uint64_t prot = kReadWrite, uint64_t flags = kAnonymous,
               uint64_t at = 0) {
    const auto call = serve(SYS_mmap, {at, size, prot, flags, ~0ull, 0});
    return call ? static_cast<uint64_t>(call->result) : 0;
  }
  bool unmap(uint64_t at, uint64_t size) {
    const auto call = serve(SYS_munmap, {at, size, 0, 0, 0, 0});
    EXPECT_TRUE(!call || call->result == 0);
    return call.has_value();
  }
  bool advise(uint64_t at, uint64_t advice) {
    return serve(SYS_madvise, {at, kPage, advice, 0, 0, 0}).has_value();
  }
  bool protect(uint64_t at, uint64_t prot) {
    return serve(SYS_mprotect, {at, kPage, prot, 0, 0, 0}).has_value();
  }
  bool is_mapped(uint64_t at) {
    return std::ranges::any_of(read_maps(process_.pid()), [&](const MapsEntry& entry) {
      return at >= entry.start && at < entry.end;
    });
  }
};

TEST_F(PlainMemory, WhatTheRuntimeMappedItChanges) {
  const uint64_t at = map(8 * kPage - 1);
  ASSERT_NE(at, 0u);
  EXPECT_TRUE(unmap(at + 2 * kPage, kPage));
  EXPECT_FALSE(is_mapped(at + 2 * kPage));
  EXPECT_FALSE(unmap(at + 2 * kPage, kPage)) << "no more";
  EXPECT_FALSE(unmap(at, 3 * kPage)) << "over what is not there";
  EXPECT_TRUE(protect(at + 7 * kPage, PROT_READ));
  EXPECT_TRUE(protect(at + 7 * kPage, kReadWrite));
  process_.memory().store<uint64_t>(at + 4 * kPage, 1);
  process_.memory().store<uint64_t>(at + 5 * kPage, 1);
  EXPECT_TRUE(advise(at + 4 * kPage, MADV_DONTNEED));
  EXPECT_TRUE(advise(at + 5 * kPage, MADV_FREE));
  EXPECT_EQ(process_.memory().load<uint64_t>(at + 4 * kPage), 0u);
  EXPECT_EQ(process_.memory().load<uint64_t>(at + 5 * kPage), 0u) << "at once";
  EXPECT_EQ(map(kPage, kReadWrite, kAnonymous | MAP_FIXED, at + kPage), at + kPage);
  const auto moved = serve(SYS_mremap, {at, kPage, 40 * kPage, MREMAP_MAYMOVE, 0, 0});
  ASSERT_TRUE(moved);
  const auto to = static_cast<uint64_t>(moved->result);
  EXPECT_NE(to, at);
  EXPECT_FALSE(unmap(at, kPage));
  EXPECT_TRUE(unmap(to, 40 * kPage));
  EXPECT_TRUE(unmap(at + kPage, kPage));
  EXPECT_TRUE(unmap(at + 3 * kPage, 5 * kPage));
}

TEST_F(PlainMemory, WhatIsTheSupervisorsIsLeft) {
  EXPECT_FALSE(unmap(kData, kPage)) << "mapped by somebody else";
  EXPECT_FALSE(map(kPage, kReadWrite | PROT_EXEC));
  EXPECT_FALSE(map(kPage, kReadWrite, MAP_SHARED | MAP_ANONYMOUS));
  EXPECT_FALSE(map(kPage, kReadWrite, MAP_PRIVATE));
  EXPECT_FALSE(map(kPage, kReadWrite, kAnonymous | MAP_GROWSDOWN));
  EXPECT_FALSE(map(kPage, kReadWrite, kAnonymous | MAP_FIXED, kData));
  const uint64_t at = map(8 * kPage);
  ASSERT_NE(at, 0u);
  EXPECT_FALSE(protect(at, PROT_READ | PROT_EXEC));
  EXPECT_FALSE(advise(at, MADV_DONTFORK));
  EXPECT_FALSE(unmap(at + 1, kPage));
  EXPECT_FALSE(unmap(at, 0));
  EXPECT_FALSE(unmap(at, ~0ull));
  EXPECT_FALSE(serve(SYS_mremap, {at, kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, kData, 0}));
  // The supervisor made something else of a part of it.
  process_.mapping_changed(at + kPage, 2 * kPage);
  EXPECT_FALSE(unmap(at + 2 * kPage, kPage));
  EXPECT_FALSE(unmap(at, 8 * kPage));
  EXPECT_TRUE(protect(at + 3 * kPage, PROT_READ));
  process_.serve_no_mappings();
  EXPECT_FALSE(protect(at + 3 * kPage, PROT_READ));
  EXPECT_FALSE(map(kPage));
}

TEST_F(PlainMemory, MoreRangesThanAreKnownAreTheSupervisors) {
  const uint64_t all = map(4 * HEDDLE_PLAIN_RANGES * kPage);
  ASSERT_NE(all, 0u);
  uint64_t holes = 0;
  for (uint64_t page = 1; page < 4 * HEDDLE_PLAIN_RANGES; page += 2)
    holes += unmap(all + page * kPage, kPage);
  EXPECT_GE(holes, HEDDLE_PLAIN_RANGES - 1u);
  uint64_t left = 0;
  for (uint64_t page = 0; page < 4 * HEDDLE_PLAIN_RANGES; page += 2)
    left += unmap(all + page * kPage, kPage);
  EXPECT_GE(left, HEDDLE_PLAIN_RANGES - 1u);
  EXPECT_NE(map(kPage), 0u) << "there is room again";
}

TEST_F(ServedCalls, WhatLeavesNoMemory) {
  auto call = serve(SYS_getpid, {0, 0, 0, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, process_.pid());
  EXPECT_TRUE(call->effects.empty());
  EXPECT_TRUE(serve(SYS_brk, {0, 0, 0, 0, 0, 0}));
  EXPECT_FALSE(serve(100'000, {0, 0, 0, 0, 0, 0}));
}

TEST_F(ServedCalls, FilesAreReadAsTheyAre) {
  const auto file = open_file((root_ / "file").string(), O_RDWR | O_CREAT);
  put(file, "some text");
  remote(SYS_lseek, {file, 0, 0, 0, 0, 0});
  auto call = serve(SYS_read, {file, kBuffer, 4, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(text(call->effects.at(0)), "some");
  call = serve(SYS_pread64, {file, kBuffer, 100, 5, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, 4);
  EXPECT_EQ(text(call->effects.at(0)), "text");
  process_.memory().store<std::array<uint64_t, 4>>(kData, {kBuffer, 3, kBuffer + 8, 90});
  call = serve(SYS_readv, {file, kData, 2, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, 5);
  EXPECT_EQ(text(call->effects.at(0)), " te");
  EXPECT_EQ(text(call->effects.at(1)), "xt");
  call = serve(SYS_read, {file, kBuffer, 4, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, 0);
  EXPECT_TRUE(call->effects.empty());
  call = serve(SYS_fstat, {file, kBuffer, 0, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->effects.at(0).bytes.size(), sizeof(struct stat));
  call = serve(SYS_read, {999, kBuffer, 4, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, -9);
  EXPECT_FALSE(serve(SYS_read, {file + 5000, kBuffer, 4, 0, 0, 0}));
}

TEST_F(ServedCalls, FilesAreWrittenWhereNothingShowsThem) {
  const auto file = open_file((root_ / "file").string(), O_RDWR | O_CREAT);
  process_.memory().store<uint32_t>(kBuffer, 0x64636261);
  EXPECT_FALSE(serve(SYS_write, {file, kBuffer, 4, 0, 0, 0}));
  set_kind(file, HEDDLE_FILE | HEDDLE_WRITES);
  auto call = serve(SYS_write, {file, kBuffer, 4, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, 4);
  EXPECT_TRUE(serve(SYS_pwrite64, {file, kBuffer, 4, 100, 0, 0}));
  EXPECT_EQ(fs::file_size(root_ / "file"), 104u);
  // Another one may be there afterwards.
  EXPECT_TRUE(serve(SYS_close, {file, 0, 0, 0, 0, 0}));
  const auto again = open_file((root_ / "other").string(), O_RDWR | O_CREAT);
  EXPECT_EQ(again, file);
  EXPECT_FALSE(serve(SYS_write, {again, kBuffer, 4, 0, 0, 0}));
  const auto null = open_file("/dev/null", O_RDWR);
  EXPECT_TRUE(serve(SYS_write, {null, kBuffer, 4, 0, 0, 0}));
  set_kind(again, HEDDLE_FILE | HEDDLE_WRITES);
  EXPECT_TRUE(serve(SYS_dup2, {null, again, 0, 0, 0, 0}));
  call = serve(SYS_write, {again, kBuffer, 4, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(fs::file_size(root_ / "other"), 0u);
}

TEST_F(ServedCalls, PipesAreTriedWithoutWaiting) {
  const auto [out, in] = pipe(0);
  EXPECT_FALSE(serve(SYS_read, {out, kBuffer, 8, 0, 0, 0}));
  process_.memory().store<uint32_t>(kBuffer, 0x64636261);
  auto call = serve(SYS_write, {in, kBuffer, 4, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, 4);
  EXPECT_FALSE(serve(SYS_write, {in, kBuffer, 5000, 0, 0, 0})) << "part of it could wait";
  call = serve(SYS_read, {out, kBuffer + 8, 8, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(text(call->effects.at(0)), "abcd");
  EXPECT_TRUE(serve(SYS_close, {in, 0, 0, 0, 0, 0}));
  call = serve(SYS_read, {out, kBuffer, 8, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, 0);
  const auto [out2, in2] = pipe(O_NONBLOCK);
  call = serve(SYS_read, {out2, kBuffer, 8, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, kAgain);
}

TEST_F(ServedCalls, SocketsAreTriedWithoutWaiting) {
  const auto [a, b] = sockets(SOCK_STREAM);
  EXPECT_FALSE(serve(SYS_read, {a, kBuffer, 8, 0, 0, 0}));
  EXPECT_FALSE(serve(SYS_recvfrom, {a, kBuffer, 8, 0, 0, 0}));
  auto call = serve(SYS_recvfrom, {a, kBuffer, 8, MSG_DONTWAIT, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, kAgain);
  process_.memory().store<uint32_t>(kBuffer, 0x64636261);
  EXPECT_TRUE(serve(SYS_write, {b, kBuffer, 4, 0, 0, 0}));
  EXPECT_TRUE(serve(SYS_sendto, {b, kBuffer, 4, 0, 0, 0}));
  process_.memory().store<std::array<uint64_t, 4>>(kData, {kBuffer, 1, kBuffer + 2, 2});
  EXPECT_TRUE(serve(SYS_writev, {b, kData, 2, 0, 0, 0}));
  call = serve(SYS_read, {a, kBuffer + 16, 100, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(text(call->effects.at(0)), "abcdabcdacd");
  EXPECT_FALSE(serve(SYS_recvfrom, {a, kBuffer, 8, MSG_WAITALL, 0, 0}));
  EXPECT_TRUE(serve(SYS_close, {a, 0, 0, 0, 0, 0}));
  EXPECT_FALSE(serve(SYS_write, {b, kBuffer, 4, 0, 0, 0})) << "it makes a SIGPIPE";
  call = serve(SYS_sendto, {b, kBuffer, 4, MSG_NOSIGNAL, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, -32);
  // A write is a whole record there.
  const auto [c, d] = sockets(SOCK_SEQPACKET);
  EXPECT_FALSE(serve(SYS_write, {c, kBuffer, 4, 0, 0, 0}));
  EXPECT_GT(d, 0u);
}

TEST_F(ServedCalls, WaitingForEventsEndsWhereThereAreSome) {
  const auto [a, b] = sockets(SOCK_STREAM | SOCK_NONBLOCK);
  const auto poller = remote(SYS_epoll_create1, {0, 0, 0, 0, 0, 0});
  process_.memory().store<std::array<uint32_t, 3>>(kData, {EPOLLIN, 77, 0});
  EXPECT_TRUE(serve(SYS_epoll_ctl, {poller, EPOLL_CTL_ADD, a, kData, 0, 0}));
  EXPECT_FALSE(serve(SYS_epoll_wait, {poller, kBuffer, 4, 1000, 0, 0}));
  auto call = serve(SYS_epoll_wait, {poller, kBuffer, 4, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, 0);
  process_.memory().store<std::array<uint32_t, 2>>(kData, {a, POLLIN});
  EXPECT_FALSE(serve(SYS_poll, {kData, 1, 1000, 0, 0, 0}));
  put(b, "x");
  call = serve(SYS_poll, {kData, 1, 1000, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, 1);
  EXPECT_EQ(call->effects.at(0).bytes.at(6), POLLIN);
  call = serve(SYS_epoll_pwait, {poller, kBuffer, 4, 1000, 0, 8});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, 1);
  ASSERT_EQ(call->effects.at(0).bytes.size(), 12u);
  EXPECT_EQ(call->effects[0].bytes[4], 77);
  EXPECT_FALSE(serve(SYS_epoll_pwait, {poller, kBuffer, 4, 1000, kData, 8})) << "with a mask";
}

TEST_F(ServedCalls, FilesAreOpenedUnlessThatWaitsOrEmptiesThem) {
  const auto path = [&](const std::string& name) {
    const auto full = (root_ / name).string();
    process_.memory().write(kData,
                            {reinterpret_cast<const uint8_t*>(full.c_str()), full.size() + 1});
    return kData;
  };
  constexpr auto kHere = static_cast<uint64_t>(AT_FDCWD);
  auto call = serve(SYS_openat, {kHere, path("new"), O_RDWR | O_CREAT | O_TRUNC, 0600, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_GE(call->result, 0);
  EXPECT_FALSE(serve(SYS_openat, {kHere, path("new"), O_RDWR | O_TRUNC, 0, 0, 0}));
  EXPECT_TRUE(serve(SYS_open, {path("new"), O_RDONLY, 0, 0, 0, 0}));
  call = serve(SYS_openat, {kHere, path("absent"), O_RDONLY, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, -2);
  ASSERT_EQ(mkfifo((root_ / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(serve(SYS_open, {path("fifo"), O_RDONLY, 0, 0, 0, 0}));
}

TEST_F(ServedCalls, ConnectionsAreAcceptedWhereThatCannotWait) {
  const auto listener = remote(SYS_socket, {AF_UNIX, SOCK_STREAM, 0, 0, 0, 0});
  sa_family_t family = AF_UNIX;
  process_.memory().store(kData, family);
  EXPECT_TRUE(serve(SYS_bind, {listener, kData, sizeof family, 0, 0, 0}));
  EXPECT_TRUE(serve(SYS_listen, {listener, 4, 0, 0, 0, 0}));
  EXPECT_FALSE(serve(SYS_accept4, {listener, 0, 0, 0, 0, 0}));
  EXPECT_TRUE(serve(SYS_fcntl, {listener, F_SETFL, O_NONBLOCK, 0, 0, 0}));
  auto call = serve(SYS_accept4, {listener, 0, 0, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->result, kAgain);
  process_.memory().store<uint32_t>(kWord, 100);
  call = serve(SYS_getsockname, {listener, kBuffer, kWord, 0, 0, 0});
  ASSERT_TRUE(call);
  const uint32_t length = process_.memory().load<uint32_t>(kWord).value_or(0);
  remote(SYS_connect,
         {remote(SYS_socket, {AF_UNIX, SOCK_STREAM, 0, 0, 0, 0}), kBuffer, length, 0, 0, 0});
  process_.memory().store<uint32_t>(kWord, 1);
  call = serve(SYS_accept, {listener, kBuffer, kWord, 0, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_GE(call->result, 0);
  ASSERT_EQ(call->effects.size(), 2u);
  EXPECT_EQ(call->effects[0].bytes.size(), 1u) << "no more than there was room for";
}

// Dispositions: the kernel's, but for those that are the machine's.
TEST_F(ServedCalls, Dispositions) {
  cpu_->grant_signals(TaskSignals{});
  const SignalAction wanted{0x1234000, 0x04000000, 0x5678, 1};
  process_.memory().store(kWord, wanted);
  auto call = serve(SYS_rt_sigaction, {SIGUSR1, kWord, kBuffer, 8, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->effects.at(0).bytes, std::vector<uint8_t>(32, 0));
  SignalState state;
  state.add_task(7, 0);
  state.follow(log_->entries());
  EXPECT_EQ(state.action(SIGUSR1).handler, wanted.handler);
  EXPECT_EQ(log_->changes().size(), log_->entries().size());
  EXPECT_TRUE(log_->changes().empty());
  call = serve(SYS_rt_sigaction, {SIGUSR1, 0, kBuffer, 8, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(std::memcmp(call->effects.at(0).bytes.data(), &wanted, sizeof wanted), 0);
  EXPECT_TRUE(log_->changes().empty());
  for (const uint64_t signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP})
    EXPECT_FALSE(serve(SYS_rt_sigaction, {signal, 0, kBuffer, 8, 0, 0})) << signal;
  EXPECT_FALSE(serve(SYS_rt_sigaction, {SIGKILL, kWord, 0, 8, 0, 0}));
  EXPECT_FALSE(serve(SYS_rt_sigaction, {0, 0, kBuffer, 8, 0, 0}));
  EXPECT_FALSE(serve(SYS_rt_sigaction, {65, 0, kBuffer, 8, 0, 0}));
  EXPECT_FALSE(serve(SYS_rt_sigaction, {SIGUSR1, kNowhere, 0, 8, 0, 0}));
  cpu_->grant_signals(std::nullopt);
  EXPECT_FALSE(serve(SYS_rt_sigaction, {SIGUSR1, 0, kBuffer, 8, 0, 0}));
}

// The mask that is asked for is the guest's; the kernel never blocks what instructions raise.
TEST_F(ServedCalls, SignalMasks) {
  const auto bit = [](int signal) { return uint64_t{1} << (signal - 1); };
  const uint64_t before = bit(SIGUSR1) | bit(SIGSEGV), kernels = process_.thread().signal_mask();
  cpu_->grant_signals(TaskSignals{before, {}});
  const auto read = [&](const event::Syscall& call) {
    uint64_t mask = 0;
    if (call.effects.size() == 1 && call.effects[0].bytes.size() == sizeof mask)
      std::memcpy(&mask, call.effects[0].bytes.data(), sizeof mask);
    return mask;
  };
  auto call = serve(SYS_rt_sigprocmask, {SIG_BLOCK, 0, kBuffer, 8, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(read(*call), before);
  EXPECT_EQ(process_.thread().signal_mask(), kernels);
  process_.memory().store<uint64_t>(kWord, ~uint64_t{0});
  call = serve(SYS_rt_sigprocmask, {SIG_SETMASK, kWord, kBuffer, 8, 0, 0});
  ASSERT_TRUE(call);
  EXPECT_EQ(read(*call), before);
  const uint64_t all = ~(bit(SIGKILL) | bit(SIGSTOP));
  EXPECT_EQ(state().blocked, all);
  EXPECT_EQ(process_.thread().signal_mask(),
            all & ~(bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP)));
  SignalState followed;
  followed.add_task(7, 0);
  followed.follow(log_->entries());
  EXPECT_EQ(followed.mask(7), all);
  EXPECT_FALSE(serve(SYS_rt_sigprocmask, {3, kWord, 0, 8, 0, 0}));
  EXPECT_FALSE(serve(SYS_rt_sigprocmask, {SIG_BLOCK, kNowhere, 0, 8, 0, 0}));
  EXPECT_FALSE(serve(SYS_rt_sigprocmask, {SIG_BLOCK, kWord, kNowhere, 8, 0, 0}));
  EXPECT_FALSE(serve(SYS_rt_sigprocmask, {SIG_BLOCK, kWord, 0, 4, 0, 0}));
}

TEST_F(ServedCalls, AlternateStacks) {
  const AlternateStack before{kStackTop - 4096, 0, 8192};  // the guest is on it
  cpu_->grant_signals(TaskSignals{0, before});
  auto call = serve(SYS_sigaltstack, {0, kBuffer, 0, 0, 0, 0});
  ASSERT_TRUE(call);
  stack_t old{};
  ASSERT_EQ(call->effects.at(0).bytes.size(), sizeof old);
  std::memcpy(&old, call->effects[0].bytes.data(), sizeof old);
  EXPECT_EQ(old.ss_flags, SS_ONSTACK);
  EXPECT_EQ(old.ss_size, before.size);
  const stack_t wanted{reinterpret_cast<void*>(0x1000), 0, 4096}, small{nullptr, 0, 100};
  process_.memory().store(kWord, wanted);
  EXPECT_FALSE(serve(SYS_sigaltstack, {kWord, 0, 0, 0, 0, 0}));
  cpu_->grant_signals(TaskSignals{});
  ASSERT_TRUE(serve(SYS_sigaltstack, {kWord, kBuffer, 0, 0, 0, 0}));
  EXPECT_EQ(state().stack[2], 4096u);
  SignalState followed;
  followed.add_task(7, 0);
  followed.follow(log_->entries());
  EXPECT_EQ(followed.alternate_stack(7), (AlternateStack{0x1000, 0, 4096}));
  process_.memory().store(kWord, small);
  EXPECT_FALSE(serve(SYS_sigaltstack, {kWord, 0, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace heddle
