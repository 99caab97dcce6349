#include "explorer/kernel_order.h"

#include <sys/syscall.h>

namespace heddle {
namespace {

// Objects of RaceDetector::release: beside those of Goroutines, which are addresses.
constexpr uint64_t kFirst = uint64_t{1} << 56;
constexpr uint64_t kNumbers = uint64_t{1} << 57;  // descriptors, as numbers
constexpr uint64_t kReadiness = kFirst - 1, kNetwork = kFirst - 2;

enum class Does : uint8_t { nothing, takes, gives, both, waits, closes };

Does what(uint64_t number) {
  switch (number) {
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_accept:
    case SYS_accept4:
      return Does::takes;
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_connect:
    case SYS_shutdown:
    case SYS_epoll_ctl:
    case SYS_timerfd_settime:
      return Does::gives;
    case SYS_flock:
      return Does::both;
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
      return Does::waits;
    case SYS_close:
      return Does::closes;
    default:
      return Does::nothing;
  }
}

}  // namespace

uint64_t KernelOrder::object(model::ObjectId id) const {
  if (network_.contains(id)) return kNetwork;
  const auto other = other_end_.find(id);
  return kFirst + (other == other_end_.end() ? id : other->second);
}

void KernelOrder::gave_numbers(size_t number, StrandId strand, RaceDetector& detector) const {
  const event::Syscall& call = recording_.call(number);
  if (call.result < 0) return;
  for (const int descriptor : model::made_descriptors(call))
    detector.acquire(strand, kNumbers + static_cast<uint64_t>(descriptor));
  if (call.number == SYS_dup)
    detector.acquire(strand, kNumbers + static_cast<uint64_t>(call.result));
}

void KernelOrder::completed(size_t number, StrandId strand, RaceDetector& detector) {
  const event::Syscall& call = recording_.call(number);
  if (call.result < 0) return;
  const auto made = recording_.made_by(number);
  if (made.size() == 2) other_end_[made[1]] = made[0];
  if (made.size() == 1 &&
      (call.number == SYS_socket || call.number == SYS_accept || call.number == SYS_accept4))
    network_[made[0]] = true;
  gave_numbers(number, strand, detector);

  const auto used = recording_.object_of(number);
  const bool orders = used && !recording_.is_file(*used);
  switch (what(call.number)) {
    case Does::nothing:
      break;
    case Does::takes:
      if (orders) detector.acquire(strand, object(*used));
      break;
    case Does::gives:
      if (orders) detector.release(strand, object(*used));
      detector.release(strand, kReadiness);
      break;
    case Does::both:
      if (used) detector.acquire(strand, object(*used));
      if (used) detector.release(strand, object(*used));
      break;
    case Does::waits:
      if (call.result > 0) detector.acquire(strand, kReadiness);
      break;
    case Does::closes:
      if (orders) detector.release(strand, object(*used));
      detector.release(strand, kReadiness);
      detector.release(strand, kNumbers + call.arguments[0]);
      break;
  }
}

}  // namespace heddle
