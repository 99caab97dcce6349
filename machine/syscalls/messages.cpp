// Messages, semaphores and keys between processes: System V, POSIX queues, the key service.
#include <linux/keyctl.h>
#include <sys/msg.h>
#include <sys/sem.h>

#include <algorithm>
#include <optional>

#include "machine/syscalls/commands.h"
#include "machine/syscalls/rows.h"

namespace heddle {

void keyctl_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result < 0) return;
  switch (call.arguments[0]) {
    case KEYCTL_DESCRIBE:
    case KEYCTL_READ:
    case KEYCTL_GET_SECURITY:
      // The result is the size of all there is; nothing is copied where it does not fit.
      if (static_cast<uint64_t>(call.result) <= call.arguments[3])
        out.push_back({call.arguments[2], static_cast<uint64_t>(call.result)});
      break;
    default:
      break;
  }
}

std::string keyctl_taint(const CompletedCall& call) {
  switch (call.arguments[0]) {
    case KEYCTL_DH_COMPUTE:
    case KEYCTL_PKEY_QUERY:
    case KEYCTL_PKEY_ENCRYPT:
    case KEYCTL_PKEY_DECRYPT:
    case KEYCTL_PKEY_SIGN:
    case KEYCTL_CAPABILITIES:
      return call.result < 0 ? "" : "keyctl: what this operation wrote is not captured";
    default:
      return {};
  }
}

}  // namespace heddle

namespace heddle::rows {
namespace {

void msgctl_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result < 0) return;
  switch (call.arguments[1]) {
    case IPC_STAT:
    case MSG_STAT:
    case 13:  // MSG_STAT_ANY
      out.push_back({call.arguments[2], sizeof(msqid_ds)});
      break;
    case IPC_INFO:
    case MSG_INFO:
      out.push_back({call.arguments[2], 32});  // struct msginfo
      break;
    default:
      break;
  }
}

// A message: its type, then its text.
void msgrcv_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result < 0) return;
  out.push_back({call.arguments[1], kLong + static_cast<uint64_t>(call.result)});
}

// How many semaphores a set has, which GETALL does not say: the set is asked, while the task that
// has called it still waits. Nothing where it is gone.
std::optional<uint64_t> size_of_set(uint64_t id) {
  semid_ds set{};
  if (::semctl(static_cast<int>(id), 0, IPC_STAT, &set) != 0) return std::nullopt;
  return set.sem_nsems;
}

void semctl_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result < 0) return;
  switch (call.arguments[2]) {
    case IPC_STAT:
    case SEM_STAT:
    case 20:                                    // SEM_STAT_ANY
      out.push_back({call.arguments[3], 104});  // struct semid64_ds
      break;
    case IPC_INFO:
    case SEM_INFO:
      out.push_back({call.arguments[3], 40});  // struct seminfo
      break;
    case GETALL:
      if (const auto size = size_of_set(call.arguments[0]))
        out.push_back({call.arguments[3], *size * sizeof(uint16_t)});
      break;
    default:
      break;
  }
}

std::string semctl_taint(const CompletedCall& call) {
  if (call.result < 0 || call.arguments[2] != GETALL || size_of_set(call.arguments[0])) return {};
  return "semctl GETALL: the set cannot be asked how many values that wrote";
}

constexpr Argument kFlags{Kind::hexadecimal};

constexpr Syscall kCalls[] = {
    {SYS_semget, "semget", logged, at_once, {integer, integer, mode}},
    {SYS_semop, "semop", logged, blocks, {integer, in, number}},
    {SYS_semctl,
     "semctl",
     logged,
     at_once,
     {integer, integer, integer, by_command},
     semctl_effects,
     semctl_taint},
    {SYS_msgget, "msgget", logged, at_once, {integer, mode}},
    {SYS_msgsnd, "msgsnd", logged, blocks, {integer, in, size, kFlags}},
    {SYS_msgrcv,
     "msgrcv",
     logged,
     blocks,
     {integer, by_command, size, integer, kFlags},
     msgrcv_effects},
    {SYS_msgctl, "msgctl", logged, at_once, {integer, integer, by_command}, msgctl_effects},
    {SYS_semtimedop, "semtimedop", logged, blocks, {integer, in, number, in}},
    {SYS_mq_open, "mq_open", logged, at_once, {path, open_flags, mode, in}},
    {SYS_mq_unlink, "mq_unlink", logged, at_once, {path}},
    {SYS_mq_timedsend, "mq_timedsend", logged, blocks, {fd, in, size, number, in}},
    {SYS_mq_timedreceive,
     "mq_timedreceive",
     logged,
     blocks,
     {fd, bytes_out(2), size, out(kInt), in}},
    {SYS_mq_notify, "mq_notify", logged, at_once, {fd, in}},
    {SYS_mq_getsetattr, "mq_getsetattr", logged, at_once, {fd, in, out(64)}},
    {SYS_add_key, "add_key", logged, at_once, {text, text, in, size, integer}},
    {SYS_request_key, "request_key", logged, at_once, {text, text, text, integer}},
    {SYS_keyctl,
     "keyctl",
     logged,
     at_once,
     {integer, integer, by_command, size, integer},
     keyctl_effects,
     keyctl_taint},
};

}  // namespace

std::span<const Syscall> messages() {
  return kCalls;
}

}  // namespace heddle::rows
