#include "trace_format/file_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

namespace heddle {
namespace {

namespace fs = std::filesystem;

class Store : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/file_store.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    for (const auto* trace : {"one", "two"}) fs::create_directories(root_ / trace);
  }
  void TearDown() override { fs::remove_all(root_); }

  // Long unchanged, so that its looks count.
  fs::path file(const std::string& name, const std::string& contents) const {
    const auto path = root_ / name;
    std::ofstream(path) << contents;
    const timespec past[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    EXPECT_EQ(utimensat(AT_FDCWD, path.c_str(), past, 0), 0);
    return path;
  }
  static std::string read(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static uint64_t inode(const fs::path& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_ino;
  }

  fs::path root_;
};

TEST_F(Store, TracesShareOneFile) {
  const auto path = file("library", "contents");
  const auto digest = FileStore(root_ / "one", root_ / "store").pin(path);
  EXPECT_EQ(FileStore(root_ / "two", root_ / "store").pin(path), digest);
  EXPECT_EQ(read(root_ / "one" / digest), "contents");
  EXPECT_EQ(inode(root_ / "one" / digest), inode(root_ / "two" / digest));
  EXPECT_EQ(inode(root_ / "one" / digest), inode(root_ / "store" / digest));
  EXPECT_NE(inode(root_ / "one" / digest), inode(path));
}

TEST_F(Store, ChangedFilesAreOthers) {
  const auto first = FileStore(root_ / "one", root_ / "store").pin(file("library", "before"));
  const auto second = FileStore(root_ / "two", root_ / "store").pin(file("library", "behind"));
  EXPECT_NE(first, second);
  EXPECT_EQ(read(root_ / "one" / first), "before");
  EXPECT_EQ(read(root_ / "two" / second), "behind");
}

TEST_F(Store, SparseFilesStaySparse) {
  constexpr uint64_t kHole = 4 << 20;
  const auto path = file("sparse", "begin");
  fs::resize_file(path, kHole);
  std::ofstream(path, std::ios::app) << "end";
  const auto ends_in_a_hole = file("ends_in_a_hole", "begin");
  fs::resize_file(ends_in_a_hole, kHole);
  FileStore store(root_ / "one", {});
  for (const auto& sparse : {path, ends_in_a_hole}) {
    const auto pinned = root_ / "one" / store.pin(sparse);
    EXPECT_EQ(read(pinned), read(sparse));
    struct stat info {};
    ASSERT_EQ(stat(pinned.c_str(), &info), 0);
    EXPECT_LT(static_cast<uint64_t>(info.st_blocks) * 512, kHole / 2);
  }
}

TEST_F(Store, ATraceOutlivesTheStore) {
  const auto path = file("library", "contents");
  FileStore(root_ / "one", root_ / "store").pin(path);
  fs::remove_all(root_ / "store");
  const auto digest = FileStore(root_ / "two", root_ / "store").pin(path);
  EXPECT_EQ(read(root_ / "one" / digest), "contents");
  EXPECT_EQ(read(root_ / "two" / digest), "contents");
  // The index is there, the file that it names is not.
  fs::remove(root_ / "store" / digest);
  fs::create_directories(root_ / "three");
  EXPECT_EQ(FileStore(root_ / "three", root_ / "store").pin(path), digest);
  EXPECT_EQ(read(root_ / "three" / digest), "contents");
}

TEST_F(Store, LosesWhatNoTraceUses) {
  const auto kept = FileStore(root_ / "one", root_ / "store").pin(file("library", "contents"));
  const auto unused = FileStore(root_ / "two", root_ / "store").pin(file("program", "code"));
  fs::remove_all(root_ / "two");
  EXPECT_EQ(remove_unused_files(root_ / "store"), 0u) << "it is young";
  for (const auto& digest : {kept, unused})
    fs::last_write_time(root_ / "store" / digest,
                        fs::file_time_type::clock::now() - std::chrono::hours(2));
  EXPECT_EQ(remove_unused_files(root_ / "store"), 4u);
  EXPECT_TRUE(fs::exists(root_ / "store" / kept));
  EXPECT_FALSE(fs::exists(root_ / "store" / unused));
  EXPECT_EQ(remove_unused_files(root_ / "none"), 0u);
}

TEST_F(Store, IsNotNeeded) {
  const auto path = file("library", "contents");
  const auto digest = FileStore(root_ / "one", "").pin(path);
  EXPECT_EQ(read(root_ / "one" / digest), "contents");
  // What is no directory is no store.
  EXPECT_EQ(FileStore(root_ / "two", path).pin(path), digest);
  EXPECT_EQ(read(root_ / "two" / digest), "contents");
}

TEST_F(Store, BytesAndSourcesHaveTheDigestOfTheirFile) {
  const std::string contents(3'000'000, 'x');
  const auto path = file("library", contents);
  FileStore store(root_ / "one", root_ / "store");
  const auto digest = store.pin(path);
  EXPECT_EQ(store.pin({reinterpret_cast<const uint8_t*>(contents.data()), contents.size()}),
            digest);
  size_t given = 0;
  EXPECT_EQ(store.pin([&](std::span<uint8_t> out) {
    const size_t size = std::min(out.size(), contents.size() - given);
    std::copy_n(contents.data() + given, size, out.data());
    given += size;
    return size;
  }),
            digest);
}

TEST_F(Store, ADamagedIndexIsNotTrusted) {
  fs::create_directories(root_ / "store");
  std::ofstream(root_ / "store/index") << "1 2 3\nx y z\n1 2 3 4 5 ../../etc/passwd\n";
  const auto path = file("library", "contents");
  const auto digest = FileStore(root_ / "one", root_ / "store").pin(path);
  EXPECT_EQ(read(root_ / "one" / digest), "contents");
}

TEST_F(Store, SaysWhatCannotBeRead) {
  FileStore store(root_ / "one", root_ / "store");
  try {
    store.pin(root_ / "none");
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_NE(std::string(error.what()).find("none: No such file"), std::string::npos);
  }
  EXPECT_TRUE(fs::is_empty(root_ / "one"));
}

}  // namespace
}  // namespace heddle
