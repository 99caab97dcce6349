// alter_trace FROM TO: a copy of a trace in which the first byte that the program read from its
// standard input is another one.
#include <sys/syscall.h>

#include <cstdio>
#include <filesystem>

#include "trace_format/reader.h"
#include "trace_format/writer.h"

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  if (argc != 3) return 2;
  heddle::TraceReader from(argv[1]);
  heddle::TraceWriter to(argv[2]);
  bool altered = false;
  while (auto event = from.next()) {
    auto* call = std::get_if<heddle::event::Syscall>(&event->body);
    if (call && call->number == SYS_read && call->arguments[0] == 0 && !call->effects.empty() &&
        !altered) {
      call->effects.front().bytes.front() ^= 1;
      altered = true;
    }
    to.append(*event);
  }
  to.finish();
  fs::copy(fs::path(argv[1]) / "files", fs::path(argv[2]) / "files",
           fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  return altered ? 0 : 1;
}
