#include "explorer/shared_lines.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <map>

#include "explorer/heap_blocks.h"
#include "explorer/kernel_accesses.h"
#include "replayer/replayer.h"

namespace heddle {
namespace {

constexpr uint32_t kHandlers = uint32_t{1} << 30;  // owners from here on: activations of handlers

// As the analysis takes them: of a block that is freed, so many bytes are looked at.
constexpr uint64_t kMostFreed = 1 << 16;

bool in_table(uint64_t start, uint64_t size) {
  return start < layout::kLineTable.end() && start + size > layout::kLineTable.start;
}

class LineUses {
 public:
  LineUses(const std::vector<Event>& recording, const PinnedFiles& files, const Symbols& symbols,
           const KernelOrder& order, size_t begin)
      : recording_(recording), order_(order), begin_(begin), heap_(symbols) {
    translator::Options options;
    options.calls = &calls_;
    options.fast = true;
    options.runtime_syscalls = true;
    replayer_ = std::make_unique<Replayer>(recording.front(), files, nullptr, options);
    for (const auto& mapping : std::get<event::Exec>(recording.front().body).mappings)
      if (mapping.prot & PROT_EXEC) watch_heap(mapping.start, mapping.size);
    replayer_->on_instrumentation = [this](const Exit&) {
      drain();
      replayer_->guest().cpu().resume_after_log();
    };
  }

  std::vector<uint32_t> shared() {
    for (size_t i = 1; i < recording_.size(); ++i) {
      if (i == begin_) begin_learning();
      const Event& event = recording_[i];
      replayer_->advance(event);
      drain();
      if (order_.own(event.place.task)) happened(event);
    }
    return found();
  }

 private:
  void begin_learning() {
    replayer_->catch_up();
    drain();
    translator::Options options;
    options.calls = &calls_;
    options.log_accesses = true;
    options.filter = translator::AccessFilter::owners;
    replayer_->translate_with(options);
    first_ = &replayer_->guest();
    lines_ = first_->lines();
  }

  void watch_heap(uint64_t start, uint64_t size) {
    heap_.code_mapped(start, size, replayer_->guest().memory(), calls_);
  }

  uint32_t owner(TaskId task) const {
    const auto found = owners_.find(task);
    return found == owners_.end() ? task : found->second;
  }

  void own(TaskId task, uint32_t owner) {
    owners_[task] = owner;
    if (first_->has_task(task)) first_->task(task).owner = owner;
  }

  // What the table does not learn by itself.
  void drain() {
    Guest& guest = replayer_->guest();
    const TaskId task = guest.current();
    const auto segment = guest.cpu().drain_log();
    if (!order_.own(task)) return;
    for (const auto& entry : segment) {
      if (entry.kind == HEDDLE_ENTRY_CALL) {
        const auto change = heap_.called(task, entry);
        if (change.freed)
          use(change.freed->address, std::min(change.freed->size, kMostFreed), task, true);
      } else {
        use(entry.address, entry.size, task,
            static_cast<AccessKind>(entry.kind) != AccessKind::read);
      }
    }
  }

  void use(uint64_t address, uint64_t size, TaskId task, bool writes) {
    if (lines_ && size > 0) lines_->use(address, size, owner(task), writes);
  }

  void happened(const Event& event) {
    const TaskId task = event.place.task;
    if (const auto* call = std::get_if<event::Syscall>(&event.body)) {
      if (call->number == SYS_mmap && call->result > 0 && (call->arguments[2] & PROT_EXEC))
        watch_heap(static_cast<uint64_t>(call->result), call->arguments[1]);
      if (!lines_) return;
      for (const KernelAccess& part : kernel_accesses(*call, replayer_->guest().memory()))
        if (location_name(part.address).empty())
          use(part.address, part.size, task, part.kind != AccessKind::read);
      if (call->number == SYS_rt_sigreturn && handlers_[task] > 0)
        own(task, --handlers_[task] == 0 ? task : ++last_activation_);
    } else if (const auto* signal = std::get_if<event::Signal>(&event.body)) {
      if (!lines_ || signal->fatal) return;
      // One that is left by a jump goes on as if it were the handler: too many uses, none too few.
      ++handlers_[task];
      own(task, ++last_activation_);
    }
  }

  // An access counts for the line of its first byte and may touch the next one.
  std::vector<uint32_t> found() const {
    std::vector<uint32_t> found;
    if (!lines_) return found;
    const auto both = [](uint32_t a, uint32_t b) {
      if (a == 0 || b == 0 || a == b) return a | b;
      return LineUse::kMany;
    };
    const auto add = [&](uint32_t line) {
      if (found.empty() || found.back() < line) found.push_back(line);
    };
    LineUse before;
    uint64_t next = ~uint64_t{0};
    const auto consider = [&](uint32_t line, const LineUse& use) {
      const uint32_t writers = both(use.writers, before.writers);
      const uint32_t users = both(writers, both(use.readers, before.readers));
      before = use;
      if (writers == 0 || users != LineUse::kMany) return;
      add(line - 1);
      add(line);
    };
    lines_->visit([&](uint32_t first, std::span<const LineUse> uses) {
      if (next != first && next != ~uint64_t{0}) consider(static_cast<uint32_t>(next), {});
      for (size_t i = 0; i < uses.size(); ++i) consider(first + static_cast<uint32_t>(i), uses[i]);
      next = uint64_t{first} + uses.size();
    });
    return found;
  }

  const std::vector<Event>& recording_;
  const KernelOrder& order_;
  const size_t begin_;
  std::map<uint64_t, Register> calls_;
  HeapBlocks heap_;
  std::unique_ptr<Replayer> replayer_;
  Guest* first_ = nullptr;  // that of the analysed process
  LineTable* lines_ = nullptr;
  std::map<TaskId, uint32_t> owners_;  // of tasks that were in handlers
  std::map<TaskId, uint32_t> handlers_;
  uint32_t last_activation_ = kHandlers;
};

}  // namespace

bool can_filter(const std::vector<Event>& recording, const KernelOrder& order, size_t begin,
                Ticks above) {
  if (!translator::can_filter_accesses() || begin == recording.size()) return false;
  std::map<TaskId, Ticks> ticks;
  for (size_t i = 0; i < recording.size(); ++i) {
    const Event& event = recording[i];
    if (!order.own(event.place.task)) continue;
    if (const auto* image = std::get_if<event::Exec>(&event.body)) {
      if (i > 0) return false;
      for (const auto& mapping : image->mappings)
        if (in_table(mapping.start, mapping.size)) return false;
    } else if (const auto* call = std::get_if<event::Syscall>(&event.body)) {
      const bool maps = call->number == SYS_mmap || call->number == SYS_mremap;
      if (maps && call->result > 0 &&
          in_table(static_cast<uint64_t>(call->result),
                   std::max(call->arguments[1], call->arguments[2])))
        return false;
    }
    if (i >= begin) ticks[event.place.task] = event.place.ticks;
  }
  Ticks all = 0;
  for (const auto& [task, of_task] : ticks) all += of_task;
  return all > above;
}

std::vector<uint32_t> shared_lines(const std::vector<Event>& recording, const PinnedFiles& files,
                                   const Symbols& symbols, const KernelOrder& order, size_t begin) {
  return LineUses(recording, files, symbols, order, begin).shared();
}

}  // namespace heddle
