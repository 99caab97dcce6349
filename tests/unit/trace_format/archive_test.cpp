#include "trace_format/archive.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <fstream>

#include "trace_format/reader.h"
#include "trace_format/writer.h"

namespace heddle {
namespace {

namespace fs = std::filesystem;

class Archive : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/archive.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  // An exec that maps a pinned file, and `finished` or not.
  fs::path trace(bool finished) const {
    const auto directory = root_ / "trace";
    TraceWriter writer(directory);
    event::Exec exec;
    const std::string contents = "a library";
    exec.mappings.push_back(
        {0x1000, 0x1000, 5, 2, "/library",
         FileRange{writer.pin({reinterpret_cast<const uint8_t*>(contents.data()), contents.size()}),
                   0}});
    const std::string other = "nobody's";
    writer.pin({reinterpret_cast<const uint8_t*>(other.data()), other.size()});
    Event event;
    event.place.task = 1;
    event.body = exec;
    writer.append(event);
    event.number = 1;
    event.body = event::Taint{"a reason"};
    writer.append(event);
    if (finished) writer.finish();
    return directory;
  }
  static std::string bytes(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void expect_refused(const fs::path& file) const {
    EXPECT_THROW(unpack(file, root_ / "unpacked", ""), TraceError);
    EXPECT_FALSE(fs::exists(root_ / "unpacked"));
  }

  fs::path root_;
};

TEST_F(Archive, HasWhatTheEventsName) {
  for (const bool finished : {true, false}) {
    const auto from = trace(finished);
    pack(from, root_ / "packed");
    unpack(root_ / "packed", root_ / "unpacked", root_ / "store");
    EXPECT_EQ(TraceReader(root_ / "unpacked").read_all(), TraceReader(from).read_all());
    const auto files = fs::directory_iterator(root_ / "unpacked/files");
    EXPECT_EQ(std::distance(begin(files), end(files)), 1);
    EXPECT_EQ(bytes(fs::directory_iterator(root_ / "unpacked/files")->path()), "a library");
    EXPECT_EQ(fs::exists(root_ / "unpacked/tail"), !finished);
    for (const auto* made : {"trace", "packed", "unpacked"}) fs::remove_all(root_ / made);
  }
}

TEST_F(Archive, IsNeverHalf) {
  const auto from = trace(true);
  for (const auto& entry : fs::directory_iterator(from / "files")) fs::remove(entry);
  EXPECT_THROW(pack(from, root_ / "packed"), TraceError);
  EXPECT_FALSE(fs::exists(root_ / "packed"));
  EXPECT_FALSE(fs::exists(root_ / "packed.part"));
}

TEST_F(Archive, IsNotOverwritten) {
  std::ofstream(root_ / "packed") << "something";
  EXPECT_THROW(pack(trace(true), root_ / "packed"), std::system_error);
  EXPECT_EQ(bytes(root_ / "packed"), "something");
}

TEST_F(Archive, EachDamageIsFound) {
  pack(trace(true), root_ / "packed");
  const auto whole = bytes(root_ / "packed");
  for (size_t i = 0; i < whole.size(); ++i) {
    auto damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    std::ofstream(root_ / "damaged", std::ios::binary) << damaged;
    try {
      // A bit that zstd's frame header does not mind may be another.
      unpack(root_ / "damaged", root_ / "unpacked", "");
      EXPECT_EQ(bytes(root_ / "unpacked/events"), bytes(root_ / "trace/events"));
      fs::remove_all(root_ / "unpacked");
    } catch (const TraceError&) {
      EXPECT_FALSE(fs::exists(root_ / "unpacked"));
    }
    std::ofstream(root_ / "damaged", std::ios::binary) << whole.substr(0, i);
    expect_refused(root_ / "damaged");
  }
  std::ofstream(root_ / "damaged", std::ios::binary) << whole << "x";
  expect_refused(root_ / "damaged");
}

// A tar archive with one member of that name.
std::string archive_of(const std::string& name, const std::string& contents) {
  std::string header(512, '\0');
  const auto put = [&](size_t at, const std::string& text) {
    header.replace(at, text.size(), text);
  };
  char size[12];
  std::snprintf(size, sizeof size, "%011zo", contents.size());
  put(0, name);
  put(124, size);
  put(156, "0");
  put(257, std::string("ustar\0"
                       "00",
                       8));
  put(148, "        ");
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  put(148, std::string(text, 7));
  auto all = header + contents + std::string((512 - contents.size() % 512) % 512 + 1024, '\0');
  std::string out(ZSTD_compressBound(all.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), all.data(), all.size(), 1));
  return out;
}

TEST_F(Archive, HasNoOtherFiles) {
  for (const auto* name : {"../events", "/etc/passwd", "files/../../escaped", "files/x", "other",
                           "files/00000000000000000000000000000000"}) {
    std::ofstream(root_ / "hostile", std::ios::binary) << archive_of(name, "contents");
    expect_refused(root_ / "hostile");
  }
  std::ofstream(root_ / "hostile", std::ios::binary) << archive_of("events", "contents");
  expect_refused(root_ / "hostile");
}

}  // namespace
}  // namespace heddle
