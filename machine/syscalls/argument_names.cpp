#include "machine/syscalls/argument_names.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <span>

#include "machine/syscalls/commands.h"

namespace heddle {
namespace {

struct Name {
  uint64_t value;
  const char* text;
};

#define NAME(constant)                         \
  Name {                                       \
    static_cast<uint64_t>(constant), #constant \
  }

constexpr Name kOpen[] = {NAME(O_WRONLY),
                          NAME(O_RDWR),
                          NAME(O_CREAT),
                          NAME(O_EXCL),
                          NAME(O_NOCTTY),
                          NAME(O_TRUNC),
                          NAME(O_APPEND),
                          NAME(O_NONBLOCK),
                          NAME(O_SYNC),
                          NAME(O_DIRECTORY),
                          NAME(O_PATH),
                          NAME(O_TMPFILE),
                          NAME(O_NOFOLLOW),
                          NAME(O_CLOEXEC),
                          NAME(O_DIRECT),
                          NAME(O_NOATIME),
                          {0100000, "O_LARGEFILE"}};
constexpr Name kAccess[] = {NAME(R_OK), NAME(W_OK), NAME(X_OK)};
constexpr Name kAt[] = {NAME(AT_SYMLINK_NOFOLLOW), NAME(AT_REMOVEDIR), NAME(AT_SYMLINK_FOLLOW),
                        NAME(AT_NO_AUTOMOUNT), NAME(AT_EMPTY_PATH)};
constexpr Name kProtection[] = {NAME(PROT_READ), NAME(PROT_WRITE), NAME(PROT_EXEC),
                                NAME(PROT_GROWSDOWN)};
constexpr Name kMap[] = {NAME(MAP_SHARED),    NAME(MAP_PRIVATE),        NAME(MAP_FIXED),
                         NAME(MAP_ANONYMOUS), NAME(MAP_GROWSDOWN),      NAME(MAP_DENYWRITE),
                         NAME(MAP_NORESERVE), NAME(MAP_POPULATE),       NAME(MAP_STACK),
                         NAME(MAP_HUGETLB),   NAME(MAP_FIXED_NOREPLACE)};
constexpr Name kAdvice[] = {NAME(MADV_NORMAL),    NAME(MADV_RANDOM),     NAME(MADV_SEQUENTIAL),
                            NAME(MADV_WILLNEED),  NAME(MADV_DONTNEED),   NAME(MADV_FREE),
                            NAME(MADV_REMOVE),    NAME(MADV_DONTFORK),   NAME(MADV_DOFORK),
                            NAME(MADV_HUGEPAGE),  NAME(MADV_NOHUGEPAGE), NAME(MADV_DONTDUMP),
                            NAME(MADV_WIPEONFORK)};
constexpr Name kWhence[] = {NAME(SEEK_SET), NAME(SEEK_CUR), NAME(SEEK_END), NAME(SEEK_DATA),
                            NAME(SEEK_HOLE)};
constexpr Name kClock[] = {
    NAME(CLOCK_REALTIME),          NAME(CLOCK_MONOTONIC),     NAME(CLOCK_PROCESS_CPUTIME_ID),
    NAME(CLOCK_THREAD_CPUTIME_ID), NAME(CLOCK_MONOTONIC_RAW), NAME(CLOCK_REALTIME_COARSE),
    NAME(CLOCK_MONOTONIC_COARSE),  NAME(CLOCK_BOOTTIME),      NAME(CLOCK_TAI)};
constexpr Name kFcntl[] = {
    NAME(F_DUPFD),      NAME(F_GETFD),      NAME(F_SETFD),     NAME(F_GETFL),
    NAME(F_SETFL),      NAME(F_GETLK),      NAME(F_SETLK),     NAME(F_SETLKW),
    NAME(F_SETOWN),     NAME(F_GETOWN),     NAME(F_SETSIG),    NAME(F_GETSIG),
    NAME(F_SETOWN_EX),  NAME(F_GETOWN_EX),  NAME(F_OFD_GETLK), NAME(F_OFD_SETLK),
    NAME(F_OFD_SETLKW), NAME(F_SETLEASE),   NAME(F_GETLEASE),  NAME(F_DUPFD_CLOEXEC),
    NAME(F_SETPIPE_SZ), NAME(F_GETPIPE_SZ), NAME(F_ADD_SEALS), NAME(F_GET_SEALS)};
constexpr Name kFutex[] = {NAME(FUTEX_WAIT),
                           NAME(FUTEX_WAKE),
                           NAME(FUTEX_REQUEUE),
                           NAME(FUTEX_CMP_REQUEUE),
                           NAME(FUTEX_WAKE_OP),
                           NAME(FUTEX_LOCK_PI),
                           NAME(FUTEX_UNLOCK_PI),
                           NAME(FUTEX_TRYLOCK_PI),
                           NAME(FUTEX_WAIT_BITSET),
                           NAME(FUTEX_WAKE_BITSET),
                           NAME(FUTEX_WAIT_REQUEUE_PI),
                           NAME(FUTEX_CMP_REQUEUE_PI),
                           NAME(FUTEX_LOCK_PI2)};
constexpr Name kClone[] = {NAME(CLONE_VM),
                           NAME(CLONE_FS),
                           NAME(CLONE_FILES),
                           NAME(CLONE_SIGHAND),
                           NAME(CLONE_PIDFD),
                           NAME(CLONE_PTRACE),
                           NAME(CLONE_VFORK),
                           NAME(CLONE_PARENT),
                           NAME(CLONE_THREAD),
                           NAME(CLONE_NEWNS),
                           NAME(CLONE_SYSVSEM),
                           NAME(CLONE_SETTLS),
                           NAME(CLONE_PARENT_SETTID),
                           NAME(CLONE_CHILD_CLEARTID),
                           NAME(CLONE_CHILD_SETTID),
                           NAME(CLONE_NEWUTS),
                           NAME(CLONE_NEWIPC),
                           NAME(CLONE_NEWUSER),
                           NAME(CLONE_NEWPID),
                           NAME(CLONE_NEWNET)};
constexpr Name kHow[] = {NAME(SIG_BLOCK), NAME(SIG_UNBLOCK), NAME(SIG_SETMASK)};
constexpr Name kFamily[] = {NAME(AF_UNSPEC),  NAME(AF_UNIX),   NAME(AF_INET), NAME(AF_INET6),
                            NAME(AF_NETLINK), NAME(AF_PACKET), NAME(AF_VSOCK)};
constexpr Name kType[] = {NAME(SOCK_STREAM), NAME(SOCK_DGRAM), NAME(SOCK_RAW),
                          NAME(SOCK_SEQPACKET)};
constexpr Name kTypeFlags[] = {NAME(SOCK_NONBLOCK), NAME(SOCK_CLOEXEC)};
constexpr Name kMessage[] = {NAME(MSG_OOB),     NAME(MSG_PEEK),     NAME(MSG_TRUNC),
                             NAME(MSG_WAITALL), NAME(MSG_DONTWAIT), NAME(MSG_NOSIGNAL),
                             NAME(MSG_MORE),    NAME(MSG_ERRQUEUE), NAME(MSG_CMSG_CLOEXEC)};
constexpr Name kPrctl[] = {NAME(PR_SET_PDEATHSIG),
                           NAME(PR_GET_DUMPABLE),
                           NAME(PR_SET_DUMPABLE),
                           NAME(PR_SET_NAME),
                           NAME(PR_GET_NAME),
                           NAME(PR_SET_SECCOMP),
                           NAME(PR_CAPBSET_READ),
                           NAME(PR_SET_MM),
                           NAME(PR_SET_VMA),
                           NAME(PR_SET_NO_NEW_PRIVS),
                           NAME(PR_SET_CHILD_SUBREAPER),
                           NAME(PR_SET_THP_DISABLE),
                           NAME(PR_SET_TIMERSLACK)};
constexpr Name kEpoll[] = {NAME(EPOLL_CTL_ADD), NAME(EPOLL_CTL_DEL), NAME(EPOLL_CTL_MOD)};
constexpr Name kWait[] = {NAME(WNOHANG), NAME(WSTOPPED), NAME(WEXITED), NAME(WCONTINUED),
                          NAME(WNOWAIT)};
#undef NAME

std::string number(const char* format, uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string hexadecimal(uint64_t value) {
  return value == 0 ? "0" : number("0x%lx", value);
}

std::string flags(std::span<const Name> names, uint64_t value, std::string text = "") {
  for (const auto& name : names) {
    if (name.value == 0 || (value & name.value) != name.value) continue;
    value &= ~name.value;
    text += (text.empty() ? "" : "|") + std::string(name.text);
  }
  if (value != 0 || text.empty()) text += (text.empty() ? "" : "|") + hexadecimal(value);
  return text;
}

std::string choice(std::span<const Name> names, uint64_t value) {
  for (const auto& name : names)
    if (name.value == value) return name.text;
  return hexadecimal(value);
}

std::string signal_name(uint64_t value) {
  const char* name = sigabbrev_np(static_cast<int>(value));
  return name ? std::string("SIG") + name : std::to_string(value);
}

}  // namespace

std::string argument_text(Kind kind, uint64_t value) {
  const auto word = static_cast<uint32_t>(value);
  const auto integer = static_cast<int32_t>(word);
  switch (kind) {
    case Kind::none:
      return {};
    case Kind::integer:
    case Kind::descriptor:
    case Kind::process:
      return std::to_string(integer);
    case Kind::unsigned_number:
    case Kind::size:
      return std::to_string(value);
    case Kind::offset:
      return std::to_string(static_cast<int64_t>(value));
    case Kind::hexadecimal:
      return hexadecimal(value);
    case Kind::pointer:
    case Kind::output:
    case Kind::path:
      return value == 0 ? "NULL" : hexadecimal(value);
    case Kind::directory:
      return integer == AT_FDCWD ? "AT_FDCWD" : std::to_string(integer);
    case Kind::signal:
      return signal_name(value);
    case Kind::mode:
      return number("0%lo", word);
    case Kind::open_flags:
      return flags(kOpen, word, (word & O_ACCMODE) == O_RDONLY ? "O_RDONLY" : "");
    case Kind::access_mode:
      return word == F_OK ? "F_OK" : flags(kAccess, word);
    case Kind::at_flags:
      return flags(kAt, word);
    case Kind::protection:
      return word == PROT_NONE ? "PROT_NONE" : flags(kProtection, word);
    case Kind::map_flags:
      return flags(kMap, word);
    case Kind::advice:
      return choice(kAdvice, word);
    case Kind::whence:
      return choice(kWhence, word);
    case Kind::clock:
      return choice(kClock, word);
    case Kind::fcntl_command:
      return choice(kFcntl, word);
    case Kind::ioctl_command: {
      const char* name = ioctl_name(value);
      return name ? name : hexadecimal(word);
    }
    case Kind::futex_operation: {
      auto text = choice(kFutex, word & FUTEX_CMD_MASK);
      if (word & FUTEX_PRIVATE_FLAG) text += "|FUTEX_PRIVATE_FLAG";
      if (word & FUTEX_CLOCK_REALTIME) text += "|FUTEX_CLOCK_REALTIME";
      return text;
    }
    case Kind::clone_flags:
      return flags(kClone, value & ~uint64_t{0xff}, value & 0xff ? signal_name(value & 0xff) : "");
    case Kind::signal_how:
      return choice(kHow, word);
    case Kind::socket_family:
      return choice(kFamily, word);
    case Kind::socket_type: {
      const uint64_t type = word & 0xf, more = word & ~uint64_t{0xf};
      auto text = type == 0 ? std::string() : choice(kType, type);
      return more != 0 || type == 0 ? flags(kTypeFlags, more, text) : text;
    }
    case Kind::message_flags:
      return flags(kMessage, word);
    case Kind::prctl_option:
      return choice(kPrctl, word);
    case Kind::epoll_operation:
      return choice(kEpoll, word);
    case Kind::wait_options:
      return flags(kWait, word);
  }
  return hexadecimal(value);
}

std::string quoted(const std::string& bytes, size_t limit) {
  std::string text = "\"";
  for (const char c : bytes.substr(0, limit)) {
    if (c == '\n')
      text += "\\n";
    else if (c == '\t')
      text += "\\t";
    else if (c == '"' || c == '\\')
      text += std::string("\\") + c;
    else if (c >= ' ' && c <= '~')
      text += c;
    else
      text += number("\\x%02lx", static_cast<uint8_t>(c));
  }
  return text + (bytes.size() > limit ? "\"..." : "\"");
}

}  // namespace heddle
