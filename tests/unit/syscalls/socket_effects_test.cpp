// Sockets: addresses, messages with control data, options.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "oracle.h"

namespace heddle {
namespace {

uint64_t u(int64_t n) {
  return static_cast<uint64_t>(n);
}

class SocketEffects : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, stream), 0);
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, datagram), 0);
    udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(bind(udp, reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
    socklen_t size = sizeof own;
    ASSERT_EQ(getsockname(udp, reinterpret_cast<sockaddr*>(&own), &size), 0);
  }
  void TearDown() override {
    for (const int fd : {stream[0], stream[1], datagram[0], datagram[1], udp}) close(fd);
  }
  void send_to_self(const char* text) {
    ASSERT_GT(
        sendto(udp, text, std::strlen(text), 0, reinterpret_cast<sockaddr*>(&own), sizeof own), 0);
  }
  // The arguments of an accept-like call whose address has this much room.
  SyscallArguments named(int fd, uint32_t room) {
    *oracle.at<uint32_t>(0) = room;
    return {u(fd), a(100), a(0)};
  }
  // A message header at `at` with two data parts of 4 and 100 bytes.
  void header(size_t at, uint32_t name_room, size_t control_room) {
    auto* parts = oracle.at<iovec>(at + 100);
    parts[0] = {oracle.at(at + 200), 4};
    parts[1] = {oracle.at(at + 300), 100};
    msghdr h{};
    h.msg_name = name_room ? oracle.at(at + 500) : nullptr;
    h.msg_namelen = name_room;
    h.msg_iov = parts;
    h.msg_iovlen = 2;
    h.msg_control = control_room ? oracle.at(at + 700) : nullptr;
    h.msg_controllen = control_room;
    std::memcpy(oracle.at(at), &h, sizeof h);
  }
  uint64_t a(size_t offset) { return pointer(oracle.at(offset)); }

  Oracle oracle;
  int stream[2], datagram[2], udp = -1;
  sockaddr_in own{};
};

TEST_F(SocketEffects, AddressesHaveTheRoomThatTheyAreGiven) {
  for (const uint32_t room : {0u, 5u, 16u, 100u})
    EXPECT_EQ(oracle.expect_covered(SYS_getsockname, [&] { return named(udp, room); }), 0);
  EXPECT_EQ(oracle.expect_covered(SYS_getpeername, [&] { return named(stream[0], 110); }), 0);
  EXPECT_EQ(oracle.expect_exact(SYS_getpeername, [&] { return named(udp, 110); }), -ENOTCONN);
}

TEST_F(SocketEffects, AcceptWritesTheAddressIfThereIsOne) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(listen(listener, 8), 0);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::vector<int> clients;
  const auto connect_to = [&] {
    clients.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(clients.back(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  };
  for (const uint32_t room : {4u, 16u, 64u}) {
    const auto got = oracle.expect_covered(SYS_accept4, [&] {
      connect_to();
      return named(listener, room);
    });
    EXPECT_GE(got, 0);
    close(static_cast<int>(got));
  }
  const auto got = oracle.expect_exact(SYS_accept, [&] {
    connect_to();
    *oracle.at<uint32_t>(0) = 16;
    return SyscallArguments{u(listener), 0, a(0)};
  });
  EXPECT_GE(got, 0);
  close(static_cast<int>(got));
  for (const int fd : clients) close(fd);
  close(listener);
}

TEST_F(SocketEffects, ReceivedBytesAndTheirSender) {
  EXPECT_EQ(oracle.expect_covered(SYS_recvfrom,
                                  [&] {
                                    send_to_self("datagram");
                                    *oracle.at<uint32_t>(0) = 16;
                                    return SyscallArguments{u(udp), a(1000), 100, 0, a(100), a(0)};
                                  }),
            8);
  // MSG_TRUNC gives the datagram's size, which is more than was written.
  EXPECT_EQ(oracle.expect_exact(SYS_recvfrom,
                                [&] {
                                  send_to_self("datagram");
                                  return SyscallArguments{u(udp), a(1000), 3, MSG_TRUNC, 0, 0};
                                }),
            8);
}

TEST_F(SocketEffects, MessagesWithDescriptorsAndCredentials) {
  const auto send = [&](size_t descriptors) {
    const int fds[3] = {0, 1, 2};
    char byte[] = "message";
    iovec part{byte, 7};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {};
    msghdr h{};
    h.msg_iov = &part;
    h.msg_iovlen = 1;
    h.msg_control = control;
    h.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
    auto* c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
    std::memcpy(CMSG_DATA(c), fds, descriptors * sizeof(int));
    ASSERT_EQ(sendmsg(datagram[1], &h, 0), 7);
  };
  const auto close_received = [&] {
    const auto* h = oracle.at<msghdr>(0);
    for (auto* c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(const_cast<msghdr*>(h), c)) {
      if (c->cmsg_type != SCM_RIGHTS) continue;
      for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; ++i)
        close(reinterpret_cast<int*>(CMSG_DATA(c))[i]);
    }
  };
  for (const size_t room : {size_t{0}, size_t{17}, CMSG_SPACE(4), size_t{200}}) {
    EXPECT_EQ(oracle.expect_covered(SYS_recvmsg,
                                    [&] {
                                      send(3);
                                      header(0, 0, room);
                                      return SyscallArguments{u(datagram[0]), a(0), 0};
                                    }),
              7);
    close_received();
  }
  const int on = 1;
  ASSERT_EQ(setsockopt(datagram[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
  EXPECT_EQ(oracle.expect_covered(SYS_recvmsg,
                                  [&] {
                                    send(1);
                                    header(0, 110, 200);
                                    return SyscallArguments{u(datagram[0]), a(0), MSG_TRUNC};
                                  }),
            7);
  close_received();
}

TEST_F(SocketEffects, SeveralMessagesAtOnce) {
  const auto two = [&] {
    send_to_self("first");
    send_to_self("the second one");
    for (size_t i = 0; i < 3; ++i) {
      header(2000, 64, 0);
      std::memmove(oracle.at(i * 64), oracle.at(2000), 56);
      auto* h = oracle.at<msghdr>(i * 64);
      h->msg_name = oracle.at(10000 + i * 100);
      h->msg_iov = oracle.at<iovec>(20000 + i * 100);
      h->msg_iov[0] = {oracle.at(30000 + i * 100), 3};
      h->msg_iov[1] = {oracle.at(40000 + i * 100), 90};
    }
    return SyscallArguments{u(udp), a(0), 3, MSG_DONTWAIT, 0};
  };
  EXPECT_EQ(oracle.expect_covered(SYS_recvmmsg, two), 2);

  EXPECT_EQ(oracle.expect_covered(SYS_sendmmsg,
                                  [&] {
                                    auto arguments = two();
                                    for (size_t i = 0; i < 3; ++i) {
                                      auto* h = oracle.at<msghdr>(i * 64);
                                      h->msg_name = nullptr;
                                      h->msg_namelen = 0;
                                    }
                                    arguments[0] = u(datagram[1]);
                                    return arguments;
                                  }),
            3);
}

TEST_F(SocketEffects, OptionsHaveTheLengthThatTheySay) {
  for (const int option : {SO_TYPE, SO_RCVTIMEO, SO_LINGER, SO_PEERCRED, SO_ERROR}) {
    EXPECT_EQ(oracle.expect_covered(
                  SYS_getsockopt,
                  [&] {
                    *oracle.at<uint32_t>(0) = 100;
                    return SyscallArguments{u(stream[0]), SOL_SOCKET, u(option), a(100), a(0)};
                  }),
              0);
  }
  // Too small for the option: cut off.
  EXPECT_EQ(oracle.expect_covered(
                SYS_getsockopt,
                [&] {
                  *oracle.at<uint32_t>(0) = 2;
                  return SyscallArguments{u(stream[0]), SOL_SOCKET, SO_TYPE, a(100), a(0)};
                }),
            0);
}

TEST_F(SocketEffects, PairsOfDescriptors) {
  EXPECT_EQ(oracle.expect_covered(SYS_socketpair,
                                  [&] {
                                    return SyscallArguments{AF_UNIX, SOCK_STREAM, 0, a(0)};
                                  }),
            0);
  EXPECT_EQ(oracle.expect_covered(SYS_pipe2, [&] { return SyscallArguments{a(0), 0}; }), 0);
}

}  // namespace
}  // namespace heddle
