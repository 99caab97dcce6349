#include "machine/stacks/symbols.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/stacks/source_lines.h"

namespace heddle {
namespace {

using testing::line_of;

const std::string kGuests = HEDDLE_GUESTS;
constexpr uint64_t kExecutable = 0x400000;  // where Go and static programs are linked
constexpr uint64_t kAnywhere = 0x555555554000;

struct SymbolsTest : ::testing::Test {
  static bool has_go() { return std::ifstream(kGuests + "/race_cgo").good(); }
};

TEST_F(SymbolsTest, CFunctionOfAPositionIndependentProgram) {
  const Symbols symbols({{kAnywhere, kGuests + "/race_c"}});
  const auto main = symbols.address_of("main");
  ASSERT_TRUE(main);
  EXPECT_GT(*main, kAnywhere);
  EXPECT_EQ(symbols.function(*main), "main");
  const auto& sites = symbols.sites(*main);
  EXPECT_EQ(sites.back().function, "main");
  EXPECT_TRUE(sites.back().file.ends_with("/tests/guests/race_c.c")) << sites.back().file;
  EXPECT_TRUE(sites.back().file.starts_with("/"));
  EXPECT_EQ(sites.back().line, line_of("race_c.c", "int main("));
}

TEST_F(SymbolsTest, InlinedCppFunctionsAreDemangled) {
  const Symbols symbols({{kAnywhere, kGuests + "/cpp_exceptions"}});
  const auto main = symbols.address_of("main");
  ASSERT_TRUE(main);
  bool inlined = false;
  for (uint64_t pc = *main; pc < *main + 64; ++pc) {
    const auto& sites = symbols.sites(pc);
    EXPECT_EQ(sites.back().function, "main");
    EXPECT_FALSE(sites.back().inlined);
    for (size_t i = 0; i + 1 < sites.size(); ++i) {
      inlined = true;
      EXPECT_TRUE(sites[i].inlined);
      EXPECT_NE(sites[i].line, 0u);
      EXPECT_FALSE(sites[i].function.starts_with("_Z")) << sites[i].function;
    }
  }
  EXPECT_TRUE(inlined);
}

TEST_F(SymbolsTest, GoAndCOfOneProgram) {
  if (!has_go()) GTEST_SKIP() << "no Go guests";
  const Symbols symbols({{kExecutable, kGuests + "/race_cgo"}});
  const auto increment = symbols.address_of("increment");
  ASSERT_TRUE(increment);
  EXPECT_TRUE(symbols.site(*increment)
                  .ends_with("/race_cgo/counter.c:" +
                             std::to_string(line_of("race_cgo/counter.c", "shared++"))))
      << symbols.site(*increment);
  const auto main = symbols.address_of("main.main");
  ASSERT_TRUE(main);
  EXPECT_EQ(symbols.sites(*main).back().line, line_of("race_cgo/main.go", "func main()"));
}

TEST_F(SymbolsTest, StrippedGoHasNamesLinesAndInlinedFunctions) {
  if (!has_go()) GTEST_SKIP() << "no Go guests";
  const Symbols whole({{kExecutable, kGuests + "/race_cgo"}});
  for (const auto& [file, base] : {std::pair{"/race_cgo_stripped", kExecutable},
                                   std::pair{"/race_cgo_pie_stripped", kAnywhere}}) {
    const Symbols symbols({{base, kGuests + file}});
    EXPECT_FALSE(symbols.address_of("runtime.gogo.abi0"));
    EXPECT_TRUE(symbols.address_of("runtime.gogo"));
    const auto main = symbols.address_of("main.main");
    const auto original = whole.address_of("main.main");
    ASSERT_TRUE(main && original) << file;
    EXPECT_EQ(symbols.function(*main), "main.main");
    EXPECT_EQ(symbols.site(*main), whole.site(*original));
    bool inlined = false;
    // The compiler puts fmt.Println into main.main.
    for (uint64_t pc = *main; symbols.function(pc) == "main.main"; ++pc)
      inlined |= symbols.sites(pc).front().function == "fmt.Println";
    EXPECT_TRUE(inlined) << file;
  }
}

TEST_F(SymbolsTest, VariablesAndLibraries) {
  const std::string library = kGuests + "/libcpp_exceptions_library.so";
  const Symbols symbols({{kAnywhere, kGuests + "/stacks_cie1"}, {kAnywhere + 0x100000, library}});
  const auto sink = symbols.address_of("sink");
  ASSERT_TRUE(sink);
  EXPECT_EQ(symbols.variable(*sink), "sink");
  EXPECT_EQ(symbols.variable(*sink + 3), "sink+3");
  EXPECT_EQ(symbols.variable(*sink + 4), "");
  EXPECT_EQ(symbols.function(*sink), "");
  const auto main = symbols.address_of("main");
  ASSERT_TRUE(main);
  EXPECT_EQ(symbols.variable(*main), "");
  EXPECT_EQ(symbols.library(*main), "");
  EXPECT_EQ(symbols.locate(*main).module, kGuests + "/stacks_cie1");
  EXPECT_EQ(symbols.library(kAnywhere + 0x100000), "libcpp_exceptions_library.so");
}

// The full symbol table, where a debug package has it, names versions ("posix_spawn@@GLIBC_2.15").
TEST_F(SymbolsTest, VersionsAreNoPartOfNames) {
  const Symbols symbols({{kAnywhere, "/lib/x86_64-linux-gnu/libc.so.6"}});
  const auto spawn = symbols.address_of("posix_spawn");
  if (!spawn) GTEST_SKIP() << "no C library there";
  EXPECT_EQ(symbols.function(*spawn), "posix_spawn");
}

TEST_F(SymbolsTest, AddressesOfNoModuleAndFilesThatAreNoPrograms) {
  const Symbols symbols({{kAnywhere, "/etc/passwd"}, {0x10000, "/no/such/file"}});
  EXPECT_EQ(symbols.function(kAnywhere), "");
  EXPECT_EQ(symbols.site(kAnywhere), "0x555555554000");
  EXPECT_EQ(symbols.sites(kAnywhere).size(), 1u);
  EXPECT_FALSE(symbols.address_of("main"));
}

TEST_F(SymbolsTest, OfOverlappingModulesTheFirstCounts) {
  const Symbols symbols(
      {{kAnywhere, kGuests + "/race_c"}, {kAnywhere + 0x1000, kGuests + "/threads"}});
  const auto main = symbols.address_of("main");
  ASSERT_TRUE(main);
  EXPECT_TRUE(symbols.sites(*main).back().file.ends_with("race_c.c"));
}

// Every byte of a program's tables may be wrong, and nothing but an answer may come of it.
TEST_F(SymbolsTest, DamagedGoTables) {
  if (!has_go()) GTEST_SKIP() << "no Go guests";
  std::ifstream in(kGuests + "/race_cgo_stripped", std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), {}};
  const auto table = good.find(std::string("\xf0\xff\xff\xff\0\0\1\x8", 8));
  ASSERT_NE(table, std::string::npos);
  const std::string path = ::testing::TempDir() + "heddle_damaged_go";
  for (size_t at = 0; at < 72; ++at) {
    std::string bad = good;
    bad[table + at] = static_cast<char>(bad[table + at] ^ 0x5a);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bad;
    const Symbols symbols({{kExecutable, path}});
    symbols.address_of("main.main");
    for (uint64_t pc = 0x401000; pc < 0x480000; pc += 0x3001) symbols.sites(pc);
  }
  std::remove(path.c_str());
}

}  // namespace
}  // namespace heddle
