// Sockets.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

// Too small a buffer for a peer's groups or label: only the length that it would take.
void getsockopt_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result == -ERANGE) out.push_back({call.arguments[4], kInt});
}

std::string getsockopt_taint(const CompletedCall& call) {
  if (call.result < 0 || call.arguments[1] != IPPROTO_TCP ||
      call.arguments[2] != TCP_ZEROCOPY_RECEIVE)
    return {};
  return "getsockopt TCP_ZEROCOPY_RECEIVE maps pages that are not captured";
}

constexpr Argument kFamily{Kind::socket_family};
constexpr Argument kType{Kind::socket_type};
constexpr Argument kFlags{Kind::message_flags};

constexpr Syscall kCalls[] = {
    {SYS_socket, "socket", logged, at_once, {kFamily, kType, integer}},
    {SYS_connect, "connect", logged, blocks, {fd, in, size}},
    {SYS_accept, "accept", logged, blocks, {fd, address_out(2), length_of(1)}},
    {SYS_sendto, "sendto", logged, blocks, {fd, in, size, kFlags, in, size}},
    {SYS_recvfrom,
     "recvfrom",
     logged,
     blocks,
     {fd, bytes_out(2), size, kFlags, address_out(5), length_of(4)}},
    {SYS_sendmsg, "sendmsg", logged, blocks, {fd, in, kFlags}},
    {SYS_recvmsg, "recvmsg", logged, blocks, {fd, message_out, kFlags}},
    {SYS_shutdown, "shutdown", logged, at_once, {fd, integer}},
    {SYS_bind, "bind", logged, at_once, {fd, in, size}},
    {SYS_listen, "listen", logged, at_once, {fd, integer}},
    {SYS_getsockname, "getsockname", logged, at_once, {fd, address_out(2), length_of(1)}},
    {SYS_getpeername, "getpeername", logged, at_once, {fd, address_out(2), length_of(1)}},
    {SYS_socketpair, "socketpair", logged, at_once, {kFamily, kType, integer, out(8)}},
    {SYS_setsockopt, "setsockopt", logged, at_once, {fd, integer, integer, in, size}},
    {SYS_getsockopt,
     "getsockopt",
     logged,
     at_once,
     {fd, integer, integer, sized_out(4), length_of(3)},
     getsockopt_effects,
     getsockopt_taint},
    {SYS_accept4, "accept4", logged, blocks, {fd, address_out(2), length_of(1), kType}},
    {SYS_recvmmsg,
     "recvmmsg",
     logged,
     blocks,
     {fd, messages_out(2), number, kFlags, out_always(kTimespec)}},
    {SYS_sendmmsg, "sendmmsg", logged, blocks, {fd, messages_sent(2), number, kFlags}},
};

}  // namespace

std::span<const Syscall> sockets() {
  return kCalls;
}

}  // namespace heddle::rows
