// What one run translated is there for the next, as far as the program's code is a file's.
#include "machine/tracee/saved_translations.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "machine/pages.h"
#include "machine/tracee/code_cache.h"
#include "machine/tracee/host_process.h"

namespace heddle {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLibrary = 0x7fff'f000'0000, kMade = kLibrary - 0x1'0000;
constexpr size_t kFunctions = 64, kFunctionSize = kPage / kFunctions;

// A library's page of functions, and a page that the program writes at run time, whose code calls
// the first of them.
class Code final : public GuestMemory {
 public:
  explicit Code(uint32_t made) {
    for (size_t i = 0; i < kFunctions; ++i) {
      // mov eax, i; ret
      const uint8_t function[] = {0xb8, static_cast<uint8_t>(i), 0, 0, 0, 0xc3};
      std::memcpy(&library_[i * kFunctionSize], function, sizeof function);
    }
    // mov eax, made; call kLibrary; ret
    const auto distance = static_cast<uint32_t>(kLibrary - (kMade + 10));
    made_[0] = 0xb8;
    std::memcpy(&made_[1], &made, sizeof made);
    made_[5] = 0xe8;
    std::memcpy(&made_[6], &distance, sizeof distance);
    made_[10] = 0xc3;
  }

  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    const auto* page = page_of(address);
    if (!page) return 0;
    const uint64_t offset = address % kPage;
    const size_t size = std::min(out.size(), static_cast<size_t>(kPage - offset));
    std::memcpy(out.data(), page->data() + offset, size);
    return size;
  }
  bool write(uint64_t, std::span<const uint8_t>) override { return false; }
  bool executable(uint64_t address, uint64_t) const override { return page_of(address); }
  bool writable_code(uint64_t address) const override { return address / kPage == kMade / kPage; }

 private:
  const std::vector<uint8_t>* page_of(uint64_t address) const {
    if (address / kPage == kLibrary / kPage) return &library_;
    return address / kPage == kMade / kPage ? &made_ : nullptr;
  }
  std::vector<uint8_t> library_ = std::vector<uint8_t>(kPage, 0xcc), made_ = library_;
};

class SavedTranslationsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/heddle-saved-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    file_ = root_ / "file";
  }
  void TearDown() override { fs::remove_all(root_); }

  // Runs everything; how many instructions had to be translated.
  uint64_t run(uint32_t made, size_t fragments = 0) const {
    auto process = HostProcess::start_empty();
    uint64_t translated = 0;
    {
      translator::Options options;
      options.fast = true;
      CodeCache cache(process.shared_code(), options);
      cache.keep_in(file_, process);
      const Code code(made);
      cache.enter(kMade, false, code);
      for (size_t i = 0; i < kFunctions; ++i)
        cache.enter(kLibrary + i * kFunctionSize, false, code);
      translated = cache.translated_instructions();
      for (size_t i = 0; i < fragments; ++i) cache.enter_once(kLibrary, code);
    }
    process.kill();
    while (fs::exists(file_.string() + ".new")) usleep(1000);  // another process writes it
    return translated;
  }

  fs::path root_, file_;
};

constexpr uint64_t kOfLibrary = 2 * kFunctions, kOfMade = 2;  // instructions

TEST_F(SavedTranslationsTest, OfALibraryAreUsedAgainWhateverTheProgramMakesAtRunTime) {
  EXPECT_GE(run(1), kOfLibrary + kOfMade);
  EXPECT_TRUE(fs::exists(file_));
  EXPECT_LT(run(2), kOfLibrary);
  EXPECT_LT(run(3), kOfLibrary);
}

TEST_F(SavedTranslationsTest, OfADamagedFileAreNone) {
  run(1);
  const auto size = static_cast<std::streamoff>(fs::file_size(file_));
  for (const auto at : {std::streamoff{0}, size / 3, size / 2, size - 1}) {
    std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(at);
    file.put(byte);
    file.close();
    EXPECT_GE(run(2), kOfLibrary) << "byte " << at;  // writes a good one
    EXPECT_LT(run(3), kOfLibrary);
  }
}

TEST_F(SavedTranslationsTest, AreGivenUpWhereTheGapsBetweenThemWouldFillTheArena) {
  run(1);
  ASSERT_TRUE(fs::exists(file_));
  fs::remove(file_);
  // Throw-away translations, of 16 bytes at least.
  run(1, layout::kArenas.back().size / 4 / 16);
  EXPECT_FALSE(fs::exists(file_));
}

}  // namespace
}  // namespace heddle
