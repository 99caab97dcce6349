// The descriptors of a process and its children, and what they name.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "explorer/model/pipes.h"
#include "explorer/model/recording.h"

namespace heddle::model {

using FileId = uint32_t;
using PipeId = uint32_t;

// What an open file description is.
// Known from the recording only.
struct Outside {
  // EPOLLIN, ... that hold now; nothing: only what the recorded run was told when it asked tells.
  std::optional<uint32_t> ready;
};
struct Output {
  int stream = 1;  // 1 or 2: what is written there is kept
};
// A pipe's end, or a socket of a pair, which has both.
struct Ends {
  std::optional<PipeId> reads, writes;
};
struct Interest {
  uint32_t events = 0;  // EPOLLIN, ..., with EPOLLET and EPOLLONESHOT
  uint64_t data = 0;
  uint64_t seen = 0;  // OpenFile::changes when it was last reported (edge-triggered)
};
struct Epoll {
  std::map<std::pair<int, FileId>, Interest> interests;
  std::pair<int, FileId> last{};  // reported last: the next one goes first
};

struct OpenFile {
  std::variant<Outside, Output, Ends, EventCounter, Epoll> what;
  std::optional<ObjectId> object;  // its counterpart in the recording
  int flags = 0;                   // O_NONBLOCK and the access mode
  uint64_t position = 0;           // bytes; Outside
  uint32_t references = 0;         // descriptors, and calls that wait on it
  uint64_t changes = 1;            // counts what may have made it ready
};

// Whose descriptors: the process's, or those of the child with that first task.
using TableId = TaskId;
inline constexpr TableId kOwnTable = 0;

// A value. Numbers are given as the kernel does: the lowest that is free.
class OpenFiles {
 public:
  explicit OpenFiles(const Recording& recording);

  // Calls below that name a descriptor mean this table's.
  void use(TableId table) { used_ = table; }
  TableId used() const { return used_; }
  // As fork, execve and exit do.
  void copy_table(TableId from, TableId to);
  void close_marked(TableId table);
  void drop_table(TableId table);
  std::optional<FileId> id_of(TableId table, int descriptor) const;
  // Numbers from `first` to `last`, at once or when a program is executed.
  void close_range(TableId table, uint64_t first, uint64_t last, bool on_exec);
  // Whatever of the table names the file.
  void close_all(TableId table, FileId file);

  // Null for a number that is not in use.
  OpenFile* find(int descriptor);
  std::optional<FileId> id_of(int descriptor) const;
  OpenFile& at(FileId id) { return files_.at(id); }
  Pipe& pipe(PipeId id) { return pipes_.at(id); }

  // Gives `file` the lowest number from `from` on.
  int open(OpenFile file, bool close_on_exec, int from = 0);
  PipeId make_pipe();
  // False: the number was not in use.
  bool close(int descriptor);
  // The descriptor names the file too; whatever it named is closed.
  void assign(int descriptor, FileId id, bool close_on_exec);
  int lowest_free(int from) const;

  bool close_on_exec(int descriptor) const { return table().at(descriptor).close_on_exec; }
  void set_close_on_exec(int descriptor, bool on) { table().at(descriptor).close_on_exec = on; }

  // A call waits on the file, so that closing its descriptor does not end it.
  void retain(FileId id) { ++files_.at(id).references; }
  void release(FileId id);

  // EPOLLIN, EPOLLOUT, EPOLLHUP, ... that hold now; none where only the recording tells.
  uint32_t ready(FileId id) const;
  // Who looks at one end of the pipe sees a change.
  void changed(PipeId pipe);

 private:
  struct Descriptor {
    FileId file = 0;
    bool close_on_exec = false;
  };
  using Table = std::map<int, Descriptor>;
  Table& table() { return tables_.at(used_); }
  const Table& table() const { return tables_.at(used_); }
  bool any_ready(const Epoll& epoll) const;

  std::map<TableId, Table> tables_{{kOwnTable, {}}};
  TableId used_ = kOwnTable;
  std::map<FileId, OpenFile> files_;
  std::map<PipeId, Pipe> pipes_;
  FileId last_file_ = 0;
  PipeId last_pipe_ = 0;
};

}  // namespace heddle::model
