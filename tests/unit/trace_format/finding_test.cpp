#include "trace_format/finding.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

namespace heddle {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

Finding complete() {
  Finding f;
  f.kind = "data race";
  f.verdict = "changed";
  f.consequence = "the output differs from the recorded one";
  f.sides = {{"update (load and store) of 4 bytes",
              "thread 2",
              {2, 17, 0x401000, 1},
              0x404010,
              4,
              "counter",
              {{0x401000, "add", "main.c", 10, ""}, {0x401100, "main", "main.c", 20, ""}}},
             {"write of 8 bytes",
              "handler of SIGUSR1 on thread 1",
              {1, ~Ticks{0}, ~uint64_t{0}, 0},
              0,
              0,
              "",
              {{0x7f0000001000, "", "", 0, "/lib/libc.so.6"}}}};
  f.differences = {{"line 1 of standard output", "total 2", ""}};
  f.deciding = {{"thread 2",
                 "is stopped before",
                 {2, 17, 0x401000, 1},
                 {0x401000, "add", "main.c", 10, ""},
                 3}};
  f.swapped = "2@18:401003>3";
  f.swaps_tried = {"-: changed"};
  f.either_order = "-";
  f.without_step = "2@19:401003>3";
  f.schedule = Schedule::parse("2@17:401000.1>3,3@5:401010>2!10");
  f.strategy = "pct depth 3 seed 7 run 12";
  f.seed = ~uint64_t{0};
  f.schedules_tried = 12;
  f.found_steps = 40;
  f.confirmed = 2;
  f.origin = "/home/a \"b\"/traces/t1";
  f.fingerprint = Finding::fingerprint_of(f.kind, f.sides);
  return f;
}

TEST(FindingJson, IsReadBackAsItWas) {
  const Finding finding = complete();
  EXPECT_EQ(Finding::parse(finding.json()), finding);
  EXPECT_EQ(Finding::parse(Finding{}.json()), Finding{});
}

TEST(FindingJson, KeepsControlCharactersAndReplacesWhatIsNoText) {
  Finding finding;
  finding.differences = {{"line 1", "a\x1b[31m\n\t\"\\", "caf\xc3\xa9 \xff"}};
  const Finding again = Finding::parse(finding.json());
  EXPECT_EQ(again.differences[0].expected, finding.differences[0].expected);
  EXPECT_EQ(again.differences[0].actual, "caf\xc3\xa9 \xef\xbf\xbd");
}

// What parse() says of a finding whose JSON had `from` replaced.
std::string complaint(const std::string& from, const std::string& to) {
  std::string text = complete().json();
  const size_t at = text.find(from);
  if (at == std::string::npos) return "nothing to replace";
  text.replace(at, from.size(), to);
  try {
    Finding::parse(text);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing";
}

TEST(FindingJson, ErrorsSayWhatIsWrong) {
  EXPECT_THAT(complaint("\"kind\"", "\"kin\""), HasSubstr("kind"));
  EXPECT_THAT(complaint("\"kind\"", "\"kin\""), testing::StartsWith("not a finding: "));
  EXPECT_THAT(complaint("\"seed\": 18446744073709551615", "\"seed\": \"seven\""),
              HasSubstr("number"));
  EXPECT_THAT(complaint("401000.1>3", "401000.1<3"), HasSubstr("schedule"));
  EXPECT_THAT(complaint("401000.1>3", "401000.1<3"), HasSubstr("offset 13"));
  EXPECT_THAT(complaint("\"sides\": [", "\"sides\": [ 1,"), HasSubstr("not a finding"));
  EXPECT_THAT(complaint("{", ""), HasSubstr("not a finding"));
}

TEST(FindingJson, NoPrefixOfItIsAccepted) {
  const std::string text = complete().json();
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_THROW(Finding::parse(std::string_view(text).substr(0, size)), std::runtime_error);
}

TEST(FindingJson, EndlessNestingIsRefused) {
  EXPECT_THROW(Finding::parse(std::string(1'000'000, '[') + std::string(1'000'000, ']')),
               std::runtime_error);
}

TEST(FindingJson, NumbersOutOfRangeAreRefused) {
  EXPECT_THAT(complaint("\"line\": 10", "\"line\": 4294967296"), HasSubstr("not a finding"));
  EXPECT_THAT(complaint("\"line\": 10", "\"line\": -1"), HasSubstr("not a finding"));
  EXPECT_THAT(complaint("\"phase\": 1", "\"phase\": 256"), HasSubstr("not a finding"));
  EXPECT_THAT(complaint("\"task\": 2", "\"task\": 2.5"), HasSubstr("not a finding"));
}

TEST(FindingFingerprint, DoesNotDependOnWhichSideCameFirst) {
  Finding f = complete();
  const std::string one = f.fingerprint;
  std::swap(f.sides[0], f.sides[1]);
  EXPECT_EQ(Finding::fingerprint_of(f.kind, f.sides), one);
}

TEST(FindingFingerprint, DoesNotDependOnAddressesTasksOrCallers) {
  Finding f = complete();
  const std::string one = f.fingerprint;
  f.sides[0].address += 0x1000;
  f.sides[0].place = {7, 1, 0x555555401000, 0};
  f.sides[0].who = "thread 7";
  f.sides[0].variable = "counter+4";
  f.sides[0].stack[0].pc += 0x1000;
  f.sides[0].stack.pop_back();
  EXPECT_EQ(Finding::fingerprint_of(f.kind, f.sides), one);
}

TEST(FindingFingerprint, DependsOnKindFunctionFileAndLine) {
  const Finding f = complete();
  const auto changed = [&](auto change) {
    Finding other = f;
    change(other);
    return Finding::fingerprint_of(other.kind, other.sides);
  };
  std::vector<std::string> all = {
      f.fingerprint,
      changed([](Finding& x) { x.kind = "deadlock"; }),
      changed([](Finding& x) { x.sides[0].stack[0].function = "sub"; }),
      changed([](Finding& x) { x.sides[0].stack[0].file = "other.c"; }),
      changed([](Finding& x) { x.sides[0].stack[0].line = 11; }),
      changed([](Finding& x) { x.sides.pop_back(); }),
  };
  for (const auto& one : all) EXPECT_THAT(one, testing::MatchesRegex("[0-9a-f]{16}"));
  std::ranges::sort(all);
  EXPECT_EQ(std::ranges::unique(all).begin(), all.end());
}

TEST(FindingFingerprint, TellsModulesApartWhereThereIsNoSource) {
  std::vector<FindingSide> one(1), other(1);
  one[0].stack = {{0x7f0000001000, "", "", 0, "/lib/libone.so"}};
  other[0].stack = {{0x7f0000001000, "", "", 0, "/lib/libother.so"}};
  EXPECT_NE(Finding::fingerprint_of("crash", one), Finding::fingerprint_of("crash", other));
}

class FindingFile : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/heddle-finding-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }
  fs::path root_;
};

TEST_F(FindingFile, IsReadBackFromItsTrace) {
  write_finding(complete(), root_);
  EXPECT_EQ(read_finding(root_), complete());
}

TEST_F(FindingFile, ErrorsNameTheFile) {
  const std::string path = (root_ / kFindingFile).string();
  const auto complaint_of = [&] {
    try {
      read_finding(root_);
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  EXPECT_THAT(complaint_of(), HasSubstr(path));
  std::ofstream(path) << "{";
  EXPECT_THAT(complaint_of(), HasSubstr(path));
  EXPECT_THROW(write_finding(complete(), root_ / "missing"), std::runtime_error);
}

}  // namespace
}  // namespace heddle
