#include "machine/syscalls/document.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace heddle {
namespace {

TEST(Document, IsTheTables) {
  std::ifstream file(HEDDLE_SOURCE_DIR "/docs/syscalls.md");
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), syscall_page())
      << "docs/syscalls.md is out of date: heddle syscall-page > docs/syscalls.md";
}

}  // namespace
}  // namespace heddle
