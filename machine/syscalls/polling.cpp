// Waiting for descriptors: select, poll, epoll, eventfd. The time that was left is written back
// whether the wait succeeded or not (fs/select.c, poll_select_finish).
#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

constexpr Argument kOperation{Kind::epoll_operation};

constexpr Syscall kCalls[] = {
    {SYS_poll, "poll", logged, blocks, {poll_fds(1), number, integer}},
    {SYS_select,
     "select",
     logged,
     blocks,
     {integer, fd_set_of(0), fd_set_of(0), fd_set_of(0), out_always(kTimeval)}},
    {SYS_epoll_create, "epoll_create", logged, at_once, {integer}},
    {SYS_epoll_wait,
     "epoll_wait",
     logged,
     blocks,
     {fd, counted_out(kEpollEvent, 2), integer, integer}},
    {SYS_epoll_ctl, "epoll_ctl", logged, at_once, {fd, kOperation, fd, in}},
    {SYS_pselect6,
     "pselect6",
     logged,
     blocks,
     {integer, fd_set_of(0), fd_set_of(0), fd_set_of(0), out_always(kTimespec), in}},
    {SYS_ppoll, "ppoll", logged, blocks, {poll_fds(1), number, out_always(kTimespec), in, size}},
    {SYS_epoll_pwait,
     "epoll_pwait",
     logged,
     blocks,
     {fd, counted_out(kEpollEvent, 2), integer, integer, in, size}},
    {SYS_eventfd, "eventfd", logged, at_once, {number}},
    {SYS_eventfd2, "eventfd2", logged, at_once, {number, open_flags}},
    {SYS_epoll_create1, "epoll_create1", logged, at_once, {open_flags}},
    {SYS_epoll_pwait2,
     "epoll_pwait2",
     logged,
     blocks,
     {fd, counted_out(kEpollEvent, 2), integer, in, in, size}},
};

}  // namespace

std::span<const Syscall> polling() {
  return kCalls;
}

}  // namespace heddle::rows
