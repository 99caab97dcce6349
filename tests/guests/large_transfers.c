// Calls that wait with buffers larger than a pipe, in parts, and several messages at a time, while
// another thread runs; and a mutex whose owner dies.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

enum { kLarge = 3 << 20, kParts = 40 };

static unsigned char sent[kLarge], got[kLarge];
static int pair[2], datagrams[2];
static volatile uint64_t beside;

static void* send_slowly(void* argument) {
  (void)argument;
  for (size_t done = 0; done < kLarge;) {
    usleep(200);
    const size_t n = kLarge - done < 300000 ? kLarge - done : 300000;
    const ssize_t put = send(pair[1], sent + done, n, 0);
    CHECK(put > 0);
    done += (size_t)put;
    for (int i = 0; i < 1000; i++) beside++;
  }
  return NULL;
}

static void* send_datagrams(void* argument) {
  (void)argument;
  for (int i = 0; i < 5; i++) {
    usleep(500);
    CHECK(send(datagrams[1], sent + i, (size_t)(1000 * (i + 1)), 0) == 1000 * (i + 1));
  }
  return NULL;
}

static void whole(void) {
  pthread_t sender;
  memset(got, 0, sizeof got);
  CHECK(pthread_create(&sender, NULL, send_slowly, NULL) == 0);
  CHECK(recv(pair[0], got, kLarge, MSG_WAITALL) == kLarge);
  CHECK(pthread_join(sender, NULL) == 0 && memcmp(sent, got, kLarge) == 0);
}

static void in_parts(void) {
  pthread_t sender;
  struct iovec parts[kParts];
  memset(got, 0, sizeof got);
  CHECK(pthread_create(&sender, NULL, send_slowly, NULL) == 0);
  for (size_t done = 0; done < kLarge;) {
    int count = 0;
    for (size_t at = done; at < kLarge && count < kParts; count++) {
      const size_t n = kLarge - at < 10007 ? kLarge - at : 10007;
      parts[count] = (struct iovec){got + at, n};
      at += n;
    }
    const ssize_t n = readv(pair[0], parts, count);
    CHECK(n > 0);
    done += (size_t)n;
  }
  CHECK(pthread_join(sender, NULL) == 0 && memcmp(sent, got, kLarge) == 0);
}

static void several(void) {
  pthread_t sender;
  struct mmsghdr messages[5];
  struct iovec parts[5][2];
  memset(messages, 0, sizeof messages);
  memset(got, 0, sizeof got);
  for (int i = 0; i < 5; i++) {
    parts[i][0] = (struct iovec){got + i * 6000, 10};
    parts[i][1] = (struct iovec){got + i * 6000 + 10, 5990};
    messages[i].msg_hdr.msg_iov = parts[i];
    messages[i].msg_hdr.msg_iovlen = 2;
  }
  CHECK(pthread_create(&sender, NULL, send_datagrams, NULL) == 0);
  CHECK(recvmmsg(datagrams[0], messages, 5, 0, NULL) == 5);
  CHECK(pthread_join(sender, NULL) == 0);
  for (int i = 0; i < 5; i++) {
    CHECK(messages[i].msg_len == 1000u * (unsigned)(i + 1));
    CHECK(memcmp(got + i * 6000, sent + i, messages[i].msg_len) == 0);
    CHECK(messages[i].msg_hdr.msg_iov == parts[i]);
  }
}

static void* read_into_nowhere(void* where) {
  errno = 0;
  CHECK(recv(pair[0], where, 100, 0) == -1 && errno == EFAULT);
  return NULL;
}

// What may not be written is not, whoever would write it.
static void protected_buffer(void) {
  pthread_t reader;
  char* page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED);
  CHECK(pthread_create(&reader, NULL, read_into_nowhere, page) == 0);
  usleep(1000);
  CHECK(send(pair[1], "secret", 6, 0) == 6);
  CHECK(pthread_join(reader, NULL) == 0 && page[0] == 0);
}

static pthread_mutex_t robust;
static void* die_with_it(void* argument) {
  (void)argument;
  CHECK(pthread_mutex_lock(&robust) == 0);
  return NULL;
}

static void owner_died(void) {
  pthread_t owner;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  CHECK(pthread_mutex_init(&robust, &attributes) == 0);
  CHECK(pthread_create(&owner, NULL, die_with_it, NULL) == 0 && pthread_join(owner, NULL) == 0);
  CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD && pthread_mutex_consistent(&robust) == 0);
  CHECK(pthread_mutex_unlock(&robust) == 0 && pthread_mutex_lock(&robust) == 0);
}

int main(void) {
  for (size_t i = 0; i < sizeof sent; i++) sent[i] = (unsigned char)(i * 7 + i / 251);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagrams) == 0);
  whole();
  in_parts();
  several();
  protected_buffer();
  owner_died();
  puts("large_transfers: ok");
  return 0;
}
