// The table's extents against the running kernel.
#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "oracle.h"

namespace heddle {
namespace {

uint64_t u(int64_t n) {
  return static_cast<uint64_t>(n);
}

class Effects : public testing::Test {
 protected:
  Oracle oracle;
  uint64_t a(size_t offset) { return pointer(oracle.at(offset)); }
  void string(size_t offset, const char* text) {
    std::strcpy(reinterpret_cast<char*>(oracle.at(offset)), text);
  }
};

struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() { EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0); }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  uint64_t reader() const { return u(ends[0]); }
  void put(const char* text) const {
    EXPECT_EQ(write(ends[1], text, std::strlen(text)), static_cast<ssize_t>(std::strlen(text)));
  }
};

TEST_F(Effects, GetallWritesAsManyValuesAsTheSetHas) {
  const int set = semget(IPC_PRIVATE, 7, 0600);
  if (set < 0) GTEST_SKIP() << "no semaphores here";
  EXPECT_EQ(oracle.expect_exact(SYS_semctl,
                                [&] {
                                  return SyscallArguments{u(set), 0, GETALL, a(0)};
                                }),
            0);
  EXPECT_EQ(semctl(set, 0, IPC_RMID), 0);
}

TEST_F(Effects, ReadsWriteWhatTheResultSays) {
  Pipe pipe;
  EXPECT_EQ(oracle.expect_exact(SYS_read,
                                [&] {
                                  pipe.put("hello");
                                  return SyscallArguments{pipe.reader(), a(0), 4096};
                                }),
            5);
  EXPECT_EQ(oracle.expect_exact(SYS_read,
                                [&] {
                                  return SyscallArguments{pipe.reader(), a(0), 4096};
                                }),
            -EAGAIN);
}

TEST_F(Effects, VectorsAreFilledInOrder) {
  Pipe pipe;
  const auto parts = [&] {
    pipe.put("twelve bytes");
    auto* vector = oracle.at<iovec>(0);
    vector[0] = {oracle.at(1000), 3};
    vector[1] = {oracle.at(3000), 0};
    vector[2] = {oracle.at(2000), 100};
    vector[3] = {oracle.at(4000), 100};
    return SyscallArguments{pipe.reader(), a(0), 4};
  };
  EXPECT_EQ(oracle.expect_exact(SYS_readv, parts), 12);

  const int file = memfd_create("file", MFD_CLOEXEC);
  ASSERT_EQ(write(file, "0123456789", 10), 10);
  const auto at_offset = [&](uint64_t flags) {
    auto arguments = parts();
    char drain[16];
    EXPECT_EQ(read(pipe.ends[0], drain, sizeof drain), 12);
    arguments[0] = u(file);
    arguments[3] = 4;
    arguments[5] = flags;
    return arguments;
  };
  EXPECT_EQ(oracle.expect_exact(SYS_preadv, [&] { return at_offset(0); }), 6);
  EXPECT_EQ(oracle.expect_exact(SYS_preadv2, [&] { return at_offset(0); }), 6);
  EXPECT_EQ(oracle.expect_exact(SYS_pread64,
                                [&] {
                                  return SyscallArguments{u(file), a(5), 100, 7};
                                }),
            3);
  close(file);
}

TEST_F(Effects, MetadataHasItsStructuresSize) {
  const auto root = [&](uint64_t first) {
    string(0, "/");
    return SyscallArguments{first, a(4096)};
  };
  EXPECT_EQ(oracle.expect_exact(SYS_stat, [&] { return root(a(0)); }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_lstat, [&] { return root(a(0)); }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_statfs, [&] { return root(a(0)); }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_fstat, [&] { return root(0); }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_newfstatat,
                                [&] {
                                  string(0, "/");
                                  return SyscallArguments{u(AT_FDCWD), a(0), a(4096), 0};
                                }),
            0);
  EXPECT_EQ(oracle.expect_exact(SYS_statx,
                                [&] {
                                  string(0, "/");
                                  return SyscallArguments{u(AT_FDCWD), a(0), 0, 0x7ff, a(4096)};
                                }),
            0);
  EXPECT_EQ(oracle.expect_exact(SYS_stat,
                                [&] {
                                  string(0, "/no/such/file");
                                  return SyscallArguments{a(0), a(4096)};
                                }),
            -ENOENT);
}

TEST_F(Effects, DirectoriesAndLinks) {
  const int directory = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_GE(directory, 0);
  for (const uint64_t number : {SYS_getdents64, SYS_getdents}) {
    const auto result = oracle.expect_covered(number, [&] {
      lseek(directory, 0, SEEK_SET);
      return SyscallArguments{u(directory), a(0), 4096};
    });
    EXPECT_GT(result, 0);
  }
  close(directory);
  EXPECT_GT(oracle.expect_exact(SYS_readlink,
                                [&] {
                                  string(0, "/proc/self/exe");
                                  return SyscallArguments{a(0), a(4096), 4096};
                                }),
            0);
  EXPECT_EQ(oracle.expect_exact(SYS_readlinkat,
                                [&] {
                                  string(0, "/proc/self/exe");
                                  return SyscallArguments{u(AT_FDCWD), a(0), a(4096), 5};
                                }),
            5);
  EXPECT_GT(oracle.expect_exact(SYS_getcwd, [&] { return SyscallArguments{a(0), 4096}; }), 0);
}

TEST_F(Effects, ExtendedAttributesAskedForTheirSizeWriteNothing) {
  char path[] = "/tmp/heddle-xattr-XXXXXX";
  const int file = mkstemp(path);
  ASSERT_GE(file, 0);
  unlink(path);
  if (fsetxattr(file, "user.heddle", "value", 5, 0) != 0)
    GTEST_SKIP() << "no extended attributes in /tmp";
  const auto get = [&](uint64_t size) {
    string(0, "user.heddle");
    return SyscallArguments{u(file), a(0), a(4096), size};
  };
  EXPECT_EQ(oracle.expect_exact(SYS_fgetxattr, [&] { return get(100); }), 5);
  EXPECT_EQ(oracle.expect_exact(SYS_fgetxattr, [&] { return get(0); }), 5);
  EXPECT_EQ(oracle.expect_exact(SYS_fgetxattr, [&] { return get(2); }), -ERANGE);
  EXPECT_GT(oracle.expect_exact(SYS_flistxattr,
                                [&] {
                                  return SyscallArguments{u(file), a(0), 100};
                                }),
            0);
  close(file);
}

TEST_F(Effects, PollWritesOnlyWhatHappened) {
  Pipe pipe;
  pipe.put("x");
  const auto fds = [&] {
    auto* set = oracle.at<pollfd>(0);
    set[0] = {pipe.ends[0], POLLIN, -1};
    set[1] = {-1, POLLIN, -1};
    return SyscallArguments{a(0), 2, 0};
  };
  EXPECT_EQ(oracle.expect_covered(SYS_poll, fds), 1);
  EXPECT_EQ(oracle.expect_covered(SYS_ppoll,
                                  [&] {
                                    auto arguments = fds();
                                    *oracle.at<timespec>(4096) = {10, 0};
                                    arguments[2] = a(4096);
                                    return arguments;
                                  }),
            1);
}

TEST_F(Effects, SelectWritesItsSetsAndTheTimeLeft) {
  Pipe pipe;
  pipe.put("x");
  const auto sets = [&] {
    std::memset(oracle.at(0), 0, 3 * 128);
    FD_SET(pipe.ends[0], oracle.at<fd_set>(0));
    FD_SET(pipe.ends[1], oracle.at<fd_set>(128));
    *oracle.at<timespec>(4096) = {10, 0};
    return SyscallArguments{64, a(0), a(128), a(256), a(4096), 0};
  };
  EXPECT_EQ(oracle.expect_covered(SYS_select, sets), 2);
  EXPECT_EQ(oracle.expect_covered(SYS_pselect6, sets), 2);
}

TEST_F(Effects, EpollWritesPackedEvents) {
  Pipe pipe;
  pipe.put("x");
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{EPOLLIN, {.u64 = 0x1234'5678'9abc'def0}};
  ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, pipe.ends[0], &event), 0);
  for (const uint64_t number : {SYS_epoll_wait, SYS_epoll_pwait}) {
    const auto result =
        oracle.expect_exact(number, [&] { return SyscallArguments{u(epoll), a(0), 8, 0, 0, 0}; });
    EXPECT_EQ(result, 1);
  }
  EXPECT_EQ(oracle.expect_exact(SYS_epoll_pwait2,
                                [&] {
                                  *oracle.at<timespec>(4096) = {0, 0};
                                  return SyscallArguments{u(epoll), a(0), 8, a(4096), 0, 0};
                                }),
            1);
  close(epoll);
}

TEST_F(Effects, ClocksTimersAndSleeps) {
  const auto to = [&](uint64_t first) { return SyscallArguments{first, a(0)}; };
  EXPECT_EQ(oracle.expect_covered(SYS_clock_gettime, [&] { return to(CLOCK_REALTIME); }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_clock_getres, [&] { return to(CLOCK_REALTIME); }), 0);
  EXPECT_EQ(oracle.expect_covered(SYS_gettimeofday,
                                  [&] {
                                    return SyscallArguments{a(0), a(100)};
                                  }),
            0);
  EXPECT_GT(oracle.expect_covered(SYS_time, [&] { return SyscallArguments{a(0)}; }), 0);
  EXPECT_NE(oracle.expect_covered(SYS_times, [&] { return SyscallArguments{a(0)}; }), -EFAULT);
  EXPECT_EQ(oracle.expect_exact(SYS_getitimer, [&] { return to(ITIMER_REAL); }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_setitimer,
                                [&] {
                                  std::memset(oracle.at(4096), 0, 32);
                                  return SyscallArguments{ITIMER_REAL, a(4096), a(0)};
                                }),
            0);
  EXPECT_EQ(oracle.expect_exact(SYS_nanosleep,
                                [&] {
                                  *oracle.at<timespec>(0) = {0, 1};
                                  return SyscallArguments{a(0), a(100)};
                                }),
            0);
}

TEST_F(Effects, ASleepThatASignalEndsTellsWhatWasLeft) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGALRM, &action, nullptr);
  const auto alarm_soon = [] {
    const itimerval soon{{0, 0}, {0, 100000}};
    setitimer(ITIMER_REAL, &soon, nullptr);
  };
  EXPECT_EQ(oracle.expect_covered(SYS_nanosleep,
                                  [&] {
                                    *oracle.at<timespec>(0) = {5, 0};
                                    alarm_soon();
                                    return SyscallArguments{a(0), a(100)};
                                  }),
            -EINTR);
  EXPECT_EQ(oracle.expect_covered(SYS_clock_nanosleep,
                                  [&] {
                                    *oracle.at<timespec>(0) = {5, 0};
                                    alarm_soon();
                                    return SyscallArguments{CLOCK_MONOTONIC, 0, a(0), a(100)};
                                  }),
            -EINTR);
  EXPECT_EQ(
      oracle.expect_exact(SYS_clock_nanosleep,
                          [&] {
                            timespec now;
                            clock_gettime(CLOCK_MONOTONIC, &now);
                            *oracle.at<timespec>(0) = {now.tv_sec + 5, 0};
                            alarm_soon();
                            return SyscallArguments{CLOCK_MONOTONIC, TIMER_ABSTIME, a(0), a(100)};
                          }),
      -EINTR);
}

TEST_F(Effects, TheSystemDescribesItself) {
  EXPECT_EQ(oracle.expect_exact(SYS_uname, [&] { return SyscallArguments{a(0)}; }), 0);
  EXPECT_EQ(oracle.expect_covered(SYS_sysinfo, [&] { return SyscallArguments{a(0)}; }), 0);
  EXPECT_EQ(oracle.expect_covered(SYS_getrandom,
                                  [&] {
                                    return SyscallArguments{a(0), 100, 0};
                                  }),
            100);
  EXPECT_EQ(oracle.expect_covered(SYS_getrusage, [&] { return SyscallArguments{0, a(0)}; }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_getrlimit, [&] { return SyscallArguments{7, a(0)}; }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_prlimit64, [&] { return SyscallArguments{0, 7, 0, a(0)}; }), 0);
  EXPECT_EQ(oracle.expect_covered(SYS_getcpu, [&] { return SyscallArguments{a(0), a(8), 0}; }), 0);
  EXPECT_GT(oracle.expect_exact(SYS_sched_getaffinity,
                                [&] {
                                  return SyscallArguments{0, 1024, a(0)};
                                }),
            0);
  EXPECT_EQ(oracle.expect_exact(SYS_sched_getattr,
                                [&] {
                                  return SyscallArguments{0, a(0), 100, 0};
                                }),
            0);
  EXPECT_EQ(oracle.expect_exact(SYS_sched_getparam, [&] { return SyscallArguments{0, a(0)}; }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_get_mempolicy,
                                [&] {
                                  return SyscallArguments{a(0), a(64), 1025, 0, 0};
                                }),
            0);
}

TEST_F(Effects, IdentitiesAndCapabilities) {
  for (const uint64_t number : {SYS_getresuid, SYS_getresgid})
    EXPECT_EQ(oracle.expect_exact(number, [&] { return SyscallArguments{a(0), a(8), a(16)}; }), 0);
  const auto groups = oracle.expect_exact(SYS_getgroups, [&] {
    return SyscallArguments{1000, a(0)};
  });
  EXPECT_EQ(oracle.expect_exact(SYS_getgroups, [&] { return SyscallArguments{0, a(0)}; }), groups);
  const auto capabilities = [&](uint32_t version) {
    oracle.at<uint32_t>(0)[0] = version;
    oracle.at<uint32_t>(0)[1] = 0;
    return SyscallArguments{a(0), a(100)};
  };
  EXPECT_EQ(oracle.expect_exact(SYS_capget, [&] { return capabilities(0x20080522); }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_capget, [&] { return capabilities(0x19980330); }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_capget, [&] { return capabilities(1); }), -EINVAL);
  const auto preferred_version = [&] {
    capabilities(0);
    return SyscallArguments{a(0), 0};
  };
  EXPECT_EQ(oracle.expect_exact(SYS_capget, preferred_version), 0);
}

TEST_F(Effects, CommandsOfIoctlFcntlAndPrctl) {
  Pipe pipe;
  pipe.put("four");
  const auto on = [&](uint64_t command) { return SyscallArguments{pipe.reader(), command, a(0)}; };
  EXPECT_EQ(oracle.expect_exact(SYS_ioctl, [&] { return on(FIONREAD); }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_ioctl, [&] { return on(TCGETS); }), -ENOTTY);
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal >= 0) {
    for (const uint64_t command : {uint64_t{TCGETS}, uint64_t{TIOCGWINSZ}, uint64_t{TIOCGPTN},
                                   uint64_t{0x802c542a}, uint64_t{TIOCGETD}})
      EXPECT_EQ(oracle.expect_exact(SYS_ioctl,
                                    [&] {
                                      return SyscallArguments{u(terminal), command, a(0)};
                                    }),
                0)
          << std::hex << command;
    close(terminal);
  }
  // IOCTL_VM_SOCKETS_GET_LOCAL_CID
  const int vsock = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
  if (vsock >= 0) {
    oracle.expect_exact(SYS_ioctl, [&] { return SyscallArguments{u(vsock), 0x7b9, a(0)}; });
    close(vsock);
  }
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  const auto set_ticks = [&] {
    oracle.at<uint64_t>(0)[0] = 3;
    return SyscallArguments{u(timer), 0x40085400 /* TFD_IOC_SET_TICKS */, a(0)};
  };
  oracle.expect_exact(SYS_ioctl, set_ticks);  // where the kernel was built with it
  close(timer);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(oracle.expect_exact(SYS_ioctl,
                                [&] {
                                  return SyscallArguments{u(socket), SIOCOUTQ, a(0)};
                                }),
            0);
  for (const uint64_t command : {uint64_t{SIOCOUTQNSD}, uint64_t{SIOCGSKNS}}) {
    const auto result = oracle.expect_exact(SYS_ioctl, [&] {
      return SyscallArguments{u(socket), command, a(0)};
    });
    if (command == SIOCGSKNS && result >= 0) close(static_cast<int>(result));
  }
  close(socket);
  const int file = open("/tmp", O_RDONLY | O_CLOEXEC);
  for (const uint64_t command : {uint64_t{FS_IOC_GETFLAGS}, uint64_t{FIGETBSZ}})
    oracle.expect_exact(SYS_ioctl, [&] { return SyscallArguments{u(file), command, a(0)}; });
  EXPECT_EQ(oracle.expect_covered(SYS_fcntl,
                                  [&] {
                                    *oracle.at<struct flock>(0) = {F_RDLCK, SEEK_SET, 0, 0, 0};
                                    return SyscallArguments{u(file), F_GETLK, a(0)};
                                  }),
            0);
  EXPECT_EQ(oracle.expect_exact(SYS_fcntl,
                                [&] {
                                  return SyscallArguments{u(file), F_GETOWN_EX, a(0)};
                                }),
            0);
  close(file);
  EXPECT_EQ(oracle.expect_exact(SYS_prctl, [&] { return SyscallArguments{PR_GET_NAME, a(0)}; }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_prctl,
                                [&] {
                                  return SyscallArguments{PR_GET_PDEATHSIG, a(0)};
                                }),
            0);
}

TEST_F(Effects, WaitingForChildrenAndSignals) {
  const auto child = [] {
    const pid_t pid = fork();
    if (pid == 0) _exit(3);
    siginfo_t info;
    waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
    return pid;
  };
  EXPECT_GT(oracle.expect_covered(SYS_wait4,
                                  [&] {
                                    return SyscallArguments{u(child()), a(0), 0, a(100)};
                                  }),
            0);
  EXPECT_EQ(
      oracle.expect_covered(SYS_waitid,
                            [&] {
                              return SyscallArguments{P_PID, u(child()), a(0), WEXITED, a(1000)};
                            }),
      0);
  const pid_t sleeper = fork();
  if (sleeper == 0) {
    pause();
    _exit(0);
  }
  EXPECT_EQ(oracle.expect_exact(SYS_wait4,
                                [&] {
                                  return SyscallArguments{u(sleeper), a(0), WNOHANG, a(100)};
                                }),
            0);
  EXPECT_EQ(oracle.expect_exact(
                SYS_waitid,
                [&] {
                  return SyscallArguments{P_PID, u(sleeper), a(0), WEXITED | WNOHANG, a(1000)};
                }),
            0);
  kill(sleeper, SIGKILL);
  waitpid(sleeper, nullptr, 0);

  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  EXPECT_EQ(oracle.expect_covered(SYS_rt_sigpending, [&] { return SyscallArguments{a(0), 8}; }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_rt_sigtimedwait,
                                [&] {
                                  raise(SIGUSR1);
                                  *oracle.at<uint64_t>(0) = uint64_t{1} << (SIGUSR1 - 1);
                                  return SyscallArguments{a(0), a(100), 0, 8};
                                }),
            SIGUSR1);
  const int descriptor = signalfd(-1, &set, SFD_CLOEXEC);
  EXPECT_EQ(oracle.expect_exact(SYS_read,
                                [&] {
                                  raise(SIGUSR1);
                                  return SyscallArguments{u(descriptor), a(0), 1000};
                                }),
            128);
  close(descriptor);
}

TEST_F(Effects, OffsetsOfCopies) {
  const int from = memfd_create("from", MFD_CLOEXEC), to = memfd_create("to", MFD_CLOEXEC);
  ASSERT_EQ(write(from, "0123456789", 10), 10);
  EXPECT_EQ(oracle.expect_covered(SYS_sendfile,
                                  [&] {
                                    *oracle.at<uint64_t>(0) = 2;
                                    return SyscallArguments{u(to), u(from), a(0), 5};
                                  }),
            5);
  EXPECT_EQ(oracle.expect_covered(SYS_copy_file_range,
                                  [&] {
                                    *oracle.at<uint64_t>(0) = 2;
                                    *oracle.at<uint64_t>(8) = 1;
                                    return SyscallArguments{u(from), a(0), u(to), a(8), 5, 0};
                                  }),
            5);
  close(from);
  close(to);
}

TEST_F(Effects, ResidencyIsOneByteAPage) {
  void* pages = mmap(nullptr, 0x3000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_EQ(oracle.expect_exact(SYS_mincore,
                                [&] {
                                  return SyscallArguments{pointer(pages), 0x2001, a(0)};
                                }),
            0);
  munmap(pages, 0x3000);
}

}  // namespace
}  // namespace heddle
