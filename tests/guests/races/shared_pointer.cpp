// A configuration in a shared_ptr, of which a reader keeps the plain pointer only: the writer frees
// it meanwhile. Correct: the reader shares it.
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace {

struct Configuration {
  long version;
  char name[24];
  ~Configuration();
};

// What a debugging allocator does.
[[gnu::noipa]] void scribble(void* memory, size_t size) {
  std::memset(memory, 0xdd, size);
}

Configuration::~Configuration() {
  scribble(this, sizeof *this);
}

std::mutex lock;
std::shared_ptr<Configuration> current;
long seen = -1;

[[gnu::noipa]] long version_of(const Configuration* configuration) {
  return configuration->version;
}

void look() {
#ifdef CORRECT
  std::shared_ptr<Configuration> configuration;
#else
  const Configuration* configuration = nullptr;
#endif
  {
    const std::lock_guard guard(lock);
#ifdef CORRECT
    configuration = current;
#else
    configuration = current.get();
#endif
  }
#ifdef CORRECT
  seen = version_of(configuration.get());
#else
  seen = version_of(configuration);
#endif
}

void replace() {
  auto fresh = std::make_shared<Configuration>(Configuration{2, "fresh"});
  std::shared_ptr<Configuration> old;
  {
    const std::lock_guard guard(lock);
    old = std::exchange(current, std::move(fresh));
  }
}

}  // namespace

int main() {
  current = std::make_shared<Configuration>(Configuration{1, "old"});
  std::thread reader(look), writer(replace);
  reader.join();
  writer.join();
  std::puts(seen == 1 || seen == 2 ? "a version" : "no version");
  return 0;
}
