// Users, groups and capabilities.
#include <errno.h>

#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

// Version 1 of the interface has one structure of 12 bytes, the later ones two. A version that the
// kernel does not know is answered with the one that it prefers; who asks for nothing else (a null
// pointer) gets that as a success.
void capget_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  constexpr uint32_t kVersion1 = 0x19980330;
  const auto version = call.memory.load<uint32_t>(call.arguments[0]);
  if (!version) return;
  const bool asks_version = call.result == 0 && call.arguments[1] == 0;
  if (call.result == -EINVAL || asks_version)
    out.push_back({call.arguments[0], kInt});
  else if (call.result == 0)
    out.push_back({call.arguments[1], *version == kVersion1 ? 12u : 24u});
}

constexpr Syscall kCalls[] = {
    {SYS_getuid, "getuid", logged, at_once, {}},
    {SYS_getgid, "getgid", logged, at_once, {}},
    {SYS_setuid, "setuid", logged, at_once, {integer}},
    {SYS_setgid, "setgid", logged, at_once, {integer}},
    {SYS_geteuid, "geteuid", logged, at_once, {}},
    {SYS_getegid, "getegid", logged, at_once, {}},
    {SYS_setreuid, "setreuid", logged, at_once, {integer, integer}},
    {SYS_setregid, "setregid", logged, at_once, {integer, integer}},
    {SYS_getgroups, "getgroups", logged, at_once, {integer, counted_out(kInt, 0)}},
    {SYS_setgroups, "setgroups", logged, at_once, {integer, in}},
    {SYS_setresuid, "setresuid", logged, at_once, {integer, integer, integer}},
    {SYS_getresuid, "getresuid", logged, at_once, {out(kInt), out(kInt), out(kInt)}},
    {SYS_setresgid, "setresgid", logged, at_once, {integer, integer, integer}},
    {SYS_getresgid, "getresgid", logged, at_once, {out(kInt), out(kInt), out(kInt)}},
    {SYS_setfsuid, "setfsuid", logged, at_once, {integer}},
    {SYS_setfsgid, "setfsgid", logged, at_once, {integer}},
    {SYS_capget, "capget", logged, at_once, {by_command, by_command}, capget_effects},
    {SYS_capset, "capset", logged, at_once, {in, in}},
};

}  // namespace

std::span<const Syscall> identities() {
  return kCalls;
}

}  // namespace heddle::rows
