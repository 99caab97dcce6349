#include <cstdio>

#include "cli/verbs.h"
#include "machine/syscalls/document.h"

namespace heddle::cli {

void add_syscall_page(CLI::App& app, int& status) {
  auto* verb = app.add_subcommand("syscall-page", "Print docs/syscalls.md");
  verb->group("");  // for who changes the table, not for users
  verb->callback([&status] {
    std::fputs(syscall_page().c_str(), stdout);
    status = 0;
  });
}

}  // namespace heddle::cli
