// Processes that answer requests, and die.
#include "explorer/jobs/workers.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <stdexcept>

namespace heddle {
namespace {

TEST(WorkersTest, AnswerInOrder) {
  Workers workers(2, [](const std::string& request, const Workers::Reply& reply) {
    reply(request + "!");
    reply(request + "?");
  });
  workers.send(0, "a");
  workers.send(1, "b");
  workers.send(0, std::string(100'000, 'c'));
  EXPECT_EQ(workers.receive(0), "a!");
  EXPECT_EQ(workers.receive(0), "a?");
  EXPECT_EQ(workers.receive(1), "b!");
  EXPECT_EQ(workers.receive(0), std::string(100'000, 'c') + "!");
}

TEST(WorkersTest, OneThatDiesIsReplacedByTheNextRequest) {
  int asked = 0;  // a worker counts in its own memory
  Workers workers(1, [&](const std::string& request, const Workers::Reply& reply) {
    if (request == "die") _exit(0);
    if (request == "throw") throw std::runtime_error("as asked");
    reply(std::to_string(++asked));
  });
  workers.send(0, "count");
  EXPECT_EQ(workers.receive(0), "1");
  workers.send(0, "die");
  EXPECT_EQ(workers.receive(0), std::nullopt);
  workers.send(0, "count");
  workers.send(0, "count");
  EXPECT_EQ(workers.receive(0), "1");
  EXPECT_EQ(workers.receive(0), "2");
  workers.send(0, "throw");
  EXPECT_EQ(workers.receive(0), std::nullopt);
  EXPECT_EQ(workers.receive(0), std::nullopt);
  EXPECT_EQ(asked, 0);
}

TEST(WorkersTest, SeeWhatThereWasWhenTheyWereStarted) {
  std::string known = "old";
  Workers workers(2, [&](const std::string&, const Workers::Reply& reply) { reply(known); });
  workers.send(0, "");
  known = "new";
  workers.send(0, "");
  workers.send(1, "");
  EXPECT_EQ(workers.receive(0), "old");
  EXPECT_EQ(workers.receive(0), "old");
  EXPECT_EQ(workers.receive(1), "new");
}

}  // namespace
}  // namespace heddle
