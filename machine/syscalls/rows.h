// What the families' tables are written with. Included by them alone.
#pragma once

#include <sys/syscall.h>

#include "machine/syscalls/table.h"

namespace heddle::rows {

using enum Replay;

inline constexpr bool blocks = true, at_once = false;

// Arguments that are only read.
inline constexpr Argument fd{Kind::descriptor};
inline constexpr Argument dirfd{Kind::directory};
inline constexpr Argument path{Kind::path};
inline constexpr Argument text{Kind::path};
inline constexpr Argument integer{Kind::integer};
inline constexpr Argument number{Kind::unsigned_number};
inline constexpr Argument flags{Kind::hexadecimal};
inline constexpr Argument size{Kind::size};
inline constexpr Argument offset{Kind::offset};
inline constexpr Argument in{Kind::pointer};
inline constexpr Argument process{Kind::process};
inline constexpr Argument signal{Kind::signal};
inline constexpr Argument mode{Kind::mode};
inline constexpr Argument open_flags{Kind::open_flags};
inline constexpr Argument at_flags{Kind::at_flags};
inline constexpr Argument clock{Kind::clock};

// Memory that the call writes.
constexpr Argument out(uint32_t bytes) {
  return {Kind::output, Extent::fixed, bytes};
}
constexpr Argument out_always(uint32_t bytes) {
  return {Kind::output, Extent::always, bytes};
}
constexpr Argument out_if_interrupted(uint32_t bytes) {
  return {Kind::output, Extent::interrupted, bytes};
}
constexpr Argument out_if_positive(uint32_t bytes) {
  return {Kind::output, Extent::positive, bytes};
}
constexpr Argument bytes_out(uint8_t size_argument) {
  return {Kind::output, Extent::returned, 1, size_argument};
}
constexpr Argument array_out(uint32_t unit, uint8_t count_argument) {
  return {Kind::output, Extent::elements, unit, count_argument};
}
constexpr Argument counted_out(uint32_t unit, uint8_t count_argument) {
  return {Kind::output, Extent::counted, unit, count_argument};
}
constexpr Argument vector_out(uint8_t count_argument) {
  return {Kind::output, Extent::vector, 1, count_argument};
}
constexpr Argument address_out(uint8_t length_argument) {
  return {Kind::output, Extent::address, 1, length_argument};
}
constexpr Argument length_of(uint8_t address_argument) {
  return {Kind::output, Extent::length, 4, address_argument};
}
constexpr Argument sized_out(uint8_t length_argument) {
  return {Kind::output, Extent::sized, 1, length_argument};
}
constexpr Argument message_out{Kind::output, Extent::message};
constexpr Argument messages_out(uint8_t count_argument) {
  return {Kind::output, Extent::messages, 1, count_argument};
}
constexpr Argument messages_sent(uint8_t count_argument) {
  return {Kind::output, Extent::sent, 1, count_argument};
}
constexpr Argument poll_fds(uint8_t count_argument) {
  return {Kind::output, Extent::events, 1, count_argument};
}
constexpr Argument fd_set_of(uint8_t count_argument) {
  return {Kind::output, Extent::descriptors, 1, count_argument};
}

// Written as the row's more_effects says; `room`: at most so many bytes.
inline constexpr Argument by_command{Kind::output};
constexpr Argument room(uint32_t bytes) {
  return {Kind::output, Extent::none, bytes};
}

// Sizes of the kernel's structures.
inline constexpr uint32_t kInt = 4, kLong = 8, kStat = 144, kStatx = 256, kStatfs = 120,
                          kTimespec = 16, kTimeval = 16, kItimer = 32, kRusage = 144, kRlimit = 16,
                          kSignalSet = 8, kSiginfo = 128, kEpollEvent = 12;

// The tables.
std::span<const Syscall> files();
std::span<const Syscall> descriptors();
std::span<const Syscall> memory();
std::span<const Syscall> processes();
std::span<const Syscall> identities();
std::span<const Syscall> scheduling();
std::span<const Syscall> signals();
std::span<const Syscall> time();
std::span<const Syscall> sockets();
std::span<const Syscall> polling();
std::span<const Syscall> threads();
std::span<const Syscall> messages();
std::span<const Syscall> system();

}  // namespace heddle::rows
