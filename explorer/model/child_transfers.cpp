// What children do to the pipes that they have of the process: the part of InputOutput that plays
// their recorded steps.
#include <algorithm>

#include "explorer/model/input_output.h"

namespace heddle::model {

void InputOutput::execute(TableId child, RunQueue& queue) {
  files_.close_marked(child);
  progress(queue);
}

void InputOutput::close_range(TableId table, const std::array<uint64_t, 6>& a, RunQueue& queue) {
  files_.close_range(table, a[0], a[1], (a[2] & 4 /* CLOSE_RANGE_CLOEXEC */) != 0);
  progress(queue);
}

void InputOutput::exit(TableId child, RunQueue& queue) {
  files_.drop_table(child);
  progress(queue);
}

void InputOutput::child_closes(TableId child, int descriptor, RunQueue& queue) {
  const auto id = files_.id_of(child, descriptor);
  if (id) files_.close_all(child, *id);
  progress(queue);
}

bool InputOutput::child_waits(TableId child, const ChildStep& step, int descriptor) {
  const auto id = files_.id_of(child, descriptor);
  const auto* ends = id ? std::get_if<Ends>(&files_.at(*id).what) : nullptr;
  if (step.does == ChildStep::Does::reads && ends && ends->reads) {
    const Pipe& pipe = files_.pipe(*ends->reads);
    const bool ended = pipe.writers == 0;
    return !ended && (step.bytes.empty() ? pipe.empty() : pipe.size() < step.bytes.size());
  }
  if (step.does == ChildStep::Does::writes && ends && ends->writes) {
    const Pipe& pipe = files_.pipe(*ends->writes);
    return pipe.readers > 0 && !pipe.has_room();
  }
  return false;
}

InputOutput::Moved InputOutput::child_reads(TableId child, int descriptor,
                                            const std::vector<uint8_t>& bytes, RunQueue& queue) {
  const auto id = files_.id_of(child, descriptor);
  const auto* ends = id ? std::get_if<Ends>(&files_.at(*id).what) : nullptr;
  if (!ends || !ends->reads) return Moved::differs;
  Pipe& pipe = files_.pipe(*ends->reads);
  const bool ended = pipe.writers == 0;
  if (bytes.empty()) {
    if (!pipe.empty()) return Moved::differs;
    return ended ? Moved::all : Moved::waits;
  }
  if (pipe.size() < bytes.size()) return ended ? Moved::differs : Moved::waits;
  if (pipe.read(bytes.size()) != bytes) return Moved::differs;
  files_.changed(*ends->reads);
  progress(queue);
  return Moved::all;
}

InputOutput::Moved InputOutput::child_writes(TableId child, int descriptor,
                                             std::vector<uint8_t>* bytes, bool more_unknown,
                                             RunQueue& queue) {
  const auto id = files_.id_of(child, descriptor);
  const auto* ends = id ? std::get_if<Ends>(&files_.at(*id).what) : nullptr;
  if (!ends || !ends->writes) return Moved::differs;
  Pipe& pipe = files_.pipe(*ends->writes);
  if (pipe.readers == 0) return Moved::broken;
  const auto count = static_cast<std::ptrdiff_t>(pipe.write(*bytes));
  bytes->erase(bytes->begin(), bytes->begin() + count);
  if (count > 0) files_.changed(*ends->writes);
  if (bytes->empty() && more_unknown) pipe.more_unknown = true;
  progress(queue);
  return bytes->empty() ? Moved::all : Moved::waits;
}

}  // namespace heddle::model
