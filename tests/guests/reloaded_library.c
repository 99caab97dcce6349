// Libraries that come and go at one address, each with its own code.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

#include "check.h"

typedef int function(int);

int main(int argc, char** argv) {
  (void)argc;
  const char* const names[] = {"first", "second"};
  const char* slash = strrchr(argv[0], '/');
  CHECK(slash != NULL);
  uintptr_t at = 0;
  for (int i = 0; i < 20; ++i) {
    char path[4096];
    snprintf(path, sizeof path, "%.*s/reloaded_library_%s.so", (int)(slash - argv[0]), argv[0],
             names[i % 2]);
    void* library = dlopen(path, RTLD_NOW);
    if (!library) fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    function* f;
    *(void**)&f = dlsym(library, "reloaded_function");
    CHECK(f != NULL);
    CHECK(f(i) == (i % 2 == 0 ? 3 * i + 1 : 1000 - i));
    if (i == 0) at = (uintptr_t)f;
    CHECK(at == (uintptr_t)f);
    CHECK(dlclose(library) == 0);
  }
  puts("reloaded_library: ok");
  return 0;
}
