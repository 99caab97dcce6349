#include "explorer/analysis.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <unordered_map>

#include "explorer/code_owner.h"
#include "explorer/concurrent_part.h"
#include "explorer/goroutines.h"
#include "explorer/heap_blocks.h"
#include "explorer/kernel_accesses.h"
#include "explorer/kernel_order.h"
#include "explorer/shared_lines.h"
#include "explorer/signal_accesses.h"
#include "explorer/signal_handlers.h"
#include "replayer/replayer.h"

namespace heddle {
namespace {

// Of a block that is freed, so many bytes are looked at.
constexpr uint64_t kMostFreed = 1 << 16;

// Of a run whose heap is followed when it is explored: that costs a run something.
constexpr uint64_t kMostHeapCalls = 20'000;

class Analysis {
 public:
  Analysis(const std::vector<Event>& recording, const PinnedFiles& files, const Symbols& symbols,
           const AnalysisOptions& how)
      : recording_(recording),
        symbols_(symbols),
        goroutines_(symbols),
        calls_(goroutines_.calls()),
        heap_(symbols),
        kernel_order_(
            std::shared_ptr<const std::vector<Event>>(std::shared_ptr<void>(), &recording)) {
    quiet_end_ = goroutines_.present() ? 1 : first_concurrent(recording, kernel_order_);
    if (!goroutines_.present() &&
        can_filter(recording, kernel_order_, quiet_end_, how.filter_above))
      shared_lines_ = shared_lines(recording, files, symbols, kernel_order_, quiet_end_);
    logging_ = goroutines_.present();
    translator::Options options;
    options.calls = &calls_;
    if (logging_) {
      options.log_accesses = true;
    } else {
      options.log_locked = true;
      options.fast = true;
      options.runtime_syscalls = true;
    }
    // What other processes write is not compared: explored runs do not have it.
    const auto keep = [this](int stream, std::span<const uint8_t> bytes) {
      if (!kernel_order_.own(replayer_->guest().current())) return;
      (stream == 1 ? run_.output : run_.error).append(bytes.begin(), bytes.end());
    };
    replayer_ = std::make_unique<Replayer>(recording.front(), files, keep, options);
    for (const auto& mapping : std::get<event::Exec>(recording.front().body).mappings)
      if (mapping.prot & PROT_EXEC) watch_heap(mapping.start, mapping.size);
    replayer_->on_instrumentation = [this](const Exit& exit) {
      drain();
      if (exit.kind != Exit::Kind::log_full) throw std::logic_error("an exit of no use here");
      replayer_->guest().cpu().resume_after_log();
    };
  }

  AnalysedRun run() {
    for (size_t i = 1; i < recording_.size(); ++i) {
      if (!logging_ && i == quiet_end_) begin_logging();
      replayer_->advance(recording_[i]);
      drain();
      const auto* call = std::get_if<event::Syscall>(&recording_[i].body);
      if (call && call->child != 0 && !kernel_order_.own(call->child)) ++run_.left_out;
      if (kernel_order_.own(recording_[i].place.task)) logging_ ? happened(i) : passed(i);
    }
    run_.races = detector_.races();
    run_.lock_ordered = detector_.lock_ordered();
    run_.contended = detector_.contended();
    sort_out_handlers();
    while (!freed_again_.empty()) goes_on(freed_again_.begin()->first);
    for (const auto* pairs : {&run_.races, &run_.lock_ordered})
      for (const auto& [first, second, count] : *pairs) {
        if (first.by_call == kFreed) run_.block_users.insert(second.place.pc);
        if (second.by_call == kFreed) run_.block_users.insert(first.place.pc);
      }
    if (run_.block_users.empty() || heap_calls_ > kMostHeapCalls) run_.heap = nullptr;
    for (const auto* pairs :
         {&run_.races, &run_.interruptions, &run_.lock_ordered, &run_.contended})
      for (const auto& pair : *pairs)
        for (const auto pc : {pair.first.place.pc, pair.second.place.pc})
          run_.executions[pc] = executions_[pc];
    for (const auto& [pc, signals] : run_.interrupted_calls) run_.executions[pc] = executions_[pc];
    for (const auto& [task, ticks] : ticks_) run_.ticks += ticks;
    return std::move(run_);
  }

  void begin_logging() {
    logging_ = true;
    replayer_->catch_up();
    drain();
    translator::Options options;
    options.log_accesses = true;
    options.calls = &calls_;
    if (shared_lines_) options.filter = translator::AccessFilter::shared;
    replayer_->translate_with(options);
    if (!shared_lines_) return;
    lines_ = replayer_->guest().lines();
    for (const uint32_t line : *shared_lines_) lines_->log(line);
  }

  // Calls visit(address, size) for what of the range accesses are looked at.
  template <typename Visit>
  void in_shared_lines(uint64_t address, uint64_t size, Visit visit) const {
    if (!lines_ || !location_name(address).empty()) return visit(address, size);
    const uint64_t end = address + size;
    while (address < end) {
      if (!lines_->logs(LineTable::line(address))) {
        address = (address | 63) + 1;
        continue;
      }
      const uint64_t from = address;
      while (address < end && lines_->logs(LineTable::line(address))) address = (address | 63) + 1;
      visit(from, std::min(address, end) - from);
    }
  }

  // An event of the time when there is one strand: nothing races yet.
  void passed(size_t number) {
    const Event& event = recording_[number];
    const TaskId task = event.place.task;
    ticks_[task] = event.place.ticks;
    if (const auto* call = std::get_if<event::Syscall>(&event.body)) {
      handlers_.completed(
          event, *call, strand(task), [this](TaskId of) { return strand(of); },
          replayer_->guest().memory(), detector_);
      if (!call->interrupted) kernel_order_.completed(number, strand(task), detector_);
      if (call->number == SYS_set_tid_address || call->number == SYS_gettid)
        signal_owners_.by_tid[call->result] = task;
      mapped(*call);
    } else if (const auto* over = std::get_if<event::ProcessExit>(&event.body)) {
      run_.status = over->status;
    }
  }

  void mapped(const event::Syscall& call) {
    const auto& a = call.arguments;
    if (call.number == SYS_munmap && call.result == 0) detector_.forget(a[0], a[1]);
    if (call.number == SYS_mmap && call.result > 0) {
      detector_.forget(static_cast<uint64_t>(call.result), a[1]);
      if (a[2] & PROT_EXEC) watch_heap(static_cast<uint64_t>(call.result), a[1]);
    }
  }

  bool private_to(TaskId task, uint64_t address) const {
    return goroutines_.present() ? goroutines_.private_to(task, address)
                                 : handlers_.private_to(task, address);
  }

  StrandId strand(TaskId task) {
    const auto handler = handlers_.strand(task);
    return handler ? *handler : goroutines_.strand(task);
  }

  // A handler and the thread that it interrupts share a processor: an instruction of one is never
  // torn by the other, and both being single instructions there is nothing to get between.
  void sort_out_handlers() {
    run_.handlers = handlers_.signals();
    const auto own_thread = [&](const RaceCandidate& pair) {
      return pair.first.place.task == pair.second.place.task &&
             (run_.handlers.contains(pair.first.strand) ||
              run_.handlers.contains(pair.second.strand));
    };
    const auto whole = [](const Access& access) {
      return access.kind == AccessKind::update || access.kind == AccessKind::locked;
    };
    std::vector<RaceCandidate> races;
    for (const auto& pair : run_.races) {
      const bool reads =
          pair.first.kind == AccessKind::read || pair.second.kind == AccessKind::read;
      if (own_thread(pair) && reads)
        run_.interruptions.push_back(pair);
      else if (!own_thread(pair) || !whole(pair.first) || !whole(pair.second))
        races.push_back(pair);
    }
    run_.races = std::move(races);
    std::erase_if(run_.lock_ordered, own_thread);
    std::erase_if(run_.contended, own_thread);
  }

  void drain() {
    Guest& guest = replayer_->guest();
    const TaskId task = guest.current();
    const auto segment = guest.cpu().drain_log();
    run_.accesses += segment.size();
    if (!kernel_order_.own(task)) return;
    if (goroutines_.present() && guest.has_task(task))
      goroutines_.begin_segment(task, segment, guest.task(task).registers[Register::fs_base],
                                guest.memory());
    for (const auto& entry : segment) {
      if (entry.kind == HEDDLE_ENTRY_CALL) {
        if (heap_.watches(entry.pc))
          heap_changed(task, entry);
        else
          goroutines_.called(task, entry, detector_);
        continue;
      }
      if (!logging_) {
        detector_.mark(entry.address, entry.size);
        continue;
      }
      const CodeOwner whose = code_.of(entry.pc);
      if (whose != CodeOwner::library) goes_on(task);
      if (whose == CodeOwner::go_runtime) continue;
      if (private_to(task, entry.address)) continue;
      Access access;
      access.strand = strand(task);
      access.place = {task, entry.ticks, entry.pc, 0};
      access.address = entry.address;
      access.size = entry.size;
      access.kind = static_cast<AccessKind>(entry.kind);
      access.ordered_only = whose == CodeOwner::library;
      if (whose != CodeOwner::library) goroutines_.back_in_program(access.strand, detector_);
      if (whose == CodeOwner::atomic) detector_.mark(entry.address, entry.size);
      ++executions_[entry.pc];
      if (entry.size <= 64)
        detector_.access(access);
      else
        look_at(access);
    }
  }

  // What `task` freed a second time was no doing of the C library's at its end: it goes on.
  void goes_on(TaskId task) {
    if (freed_again_.empty()) return;
    const auto again = freed_again_.find(task);
    if (again == freed_again_.end()) return;
    run_.freed_twice.insert(run_.freed_twice.end(), again->second.begin(), again->second.end());
    freed_again_.erase(again);
  }

  void look_at(Access access) {
    in_shared_lines(access.address, access.size, [&](uint64_t address, uint64_t size) {
      access.address = address;
      access.size = static_cast<uint32_t>(size);
      detector_.access(access);
    });
  }

  void watch_heap(uint64_t start, uint64_t size) {
    heap_.code_mapped(start, size, replayer_->guest().memory(), calls_);
  }

  // A block's end is a write of all of it, and what is given out has no past.
  void heap_changed(TaskId task, const LogEntry& entry) {
    ++heap_calls_;
    const HeapBlocks::Change change = heap_.called(task, entry);
    if (change.freed) {
      Access access;
      access.strand = strand(task);
      access.place = {task, entry.ticks, change.by, 0};
      access.address = change.freed->address;
      access.size = static_cast<uint32_t>(std::min(change.freed->size, kMostFreed));
      access.kind = AccessKind::write;
      access.by_call = kFreed;
      ++executions_[change.by];
      if (change.twice) freed_again_[task].push_back(access);
      look_at(access);
    }
    if (change.allocated)
      detector_.forget_accesses(change.allocated->address, change.allocated->size);
  }

  // Does the C library block signals for itself there, so that its own code is not interrupted?
  bool blocks_for_itself(const Place& place, const event::Syscall& call) {
    if (call.number != SYS_rt_sigprocmask || code_.of(place.pc) != CodeOwner::library) return false;
    const std::string function = symbols_.function(place.pc);
    return function.find("sigmask") == std::string::npos &&
           function.find("sigprocmask") == std::string::npos && !function.ends_with("syscall");
  }

  // The kernel's accesses for a completed call. They may have been at any time since it began, so
  // what orders its end does not order them; but a number is given out at its end.
  void touch(size_t number, const event::Syscall& call) {
    const Place& place = recording_[number].place;
    const StrandId self = strand(place.task);
    auto parts = kernel_accesses(call, replayer_->guest().memory());
    if (!goroutines_.present() && !blocks_for_itself(place, call))
      for (const KernelAccess& part : signal_accesses(place.task, call.number, call.arguments,
                                                      signal_owners_, replayer_->guest().memory()))
        parts.push_back(part);
    const auto given = [&](const KernelAccess& part) {
      return part.kind == AccessKind::write && descriptor_at(part.address);
    };
    for (const bool numbers : {false, true}) {
      if (numbers) kernel_order_.gave_numbers(number, self, detector_);
      for (const KernelAccess& part : parts) {
        if (given(part) != numbers || private_to(place.task, part.address)) continue;
        Access access;
        access.strand = self;
        access.place = place;
        access.address = part.address;
        access.size = static_cast<uint32_t>(part.size);
        access.kind = part.kind;
        access.by_call = static_cast<uint16_t>(1 + call.number);
        ++executions_[place.pc];
        look_at(access);
      }
    }
  }

  // The edges that an event makes, after it took effect.
  void happened(size_t number) {
    const Event& event = recording_[number];
    const TaskId task = event.place.task;
    ticks_[task] = event.place.ticks;
    const StrandId self = strand(task);
    if (const auto* call = std::get_if<event::Syscall>(&event.body)) {
      const auto& a = call->arguments;
      if (call->number != SYS_rt_sigprocmask && call->number != SYS_madvise &&
          call->number != SYS_munmap)
        goes_on(task);
      if (code_.of(event.place.pc) != CodeOwner::go_runtime) {
        touch(number, *call);
        if (!goroutines_.present())
          handlers_.completed(
              event, *call, self, [this](TaskId of) { return strand(of); },
              replayer_->guest().memory(), detector_);
        if (!call->interrupted) kernel_order_.completed(number, self, detector_);
      }
      if (call->child != 0) {
        note_child(self, task, call->child);
        signal_owners_.tasks.push_back(call->child);
        signal_owners_.by_tid[call->result] = call->child;
      }
      if (call->number == SYS_set_tid_address || call->number == SYS_gettid)
        signal_owners_.by_tid[call->result] = task;
      // What a Go program's runtime sleeps on orders the runtime only.
      if (call->number == SYS_futex && code_.of(event.place.pc) != CodeOwner::go_runtime) {
        const auto command = a[1] & FUTEX_CMD_MASK;
        if (command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET) detector_.futex_wake(self, a[0]);
        if (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET)
          detector_.futex_wait_returned(self, a[0]);
      }
      mapped(*call);
      if (call->result == -EINTR || (call->interrupted && call->result < 0))
        left_by_signal_[task] = event.place;
    } else if (const auto* signal = std::get_if<event::Signal>(&event.body)) {
      if (goroutines_.present() || signal->fatal) return;
      const Place& left = left_by_signal_[task];
      if (left.ticks == event.place.ticks && left.pc != 0)
        run_.interrupted_calls[left.pc].insert(signal->number);
      handlers_.entered(event, *signal, self,
                        replayer_->guest().task(task).registers[Register::rsp], detector_);
      deliver(event.place, *signal);
    } else if (const auto* end = std::get_if<event::TaskExit>(&event.body)) {
      for (const auto& effect : end->effects) detector_.futex_wake(self, effect.address);
      std::erase(signal_owners_.tasks, task);
      freed_again_.erase(task);
    } else if (const auto* over = std::get_if<event::ProcessExit>(&event.body)) {
      run_.status = over->status;
    }
  }

  // A signal's handler was entered: what that depended on, as accesses of its first instruction.
  void deliver(const Place& place, const event::Signal& signal) {
    if (signal.synchronous) return;
    const uint64_t entry = replayer_->guest().task(place.task).registers[Register::rip];
    for (const KernelAccess& part : delivery_accesses(place.task, signal.number)) {
      Access access;
      access.strand = strand(place.task);
      access.place = {place.task, place.ticks, entry, 0};
      access.address = part.address;
      access.size = static_cast<uint32_t>(part.size);
      access.kind = part.kind;
      ++executions_[entry];
      detector_.access(access);
    }
  }

  void note_child(StrandId parent, TaskId task, TaskId child) {
    if (!run_.heap) run_.heap = std::make_shared<const HeapBlocks>(heap_);
    detector_.fork(parent, goroutines_.strand(child));
    handlers_.created(parent, task, child, detector_);
  }

  const std::vector<Event>& recording_;
  const Symbols& symbols_;
  Goroutines goroutines_;
  CodeOwners code_{symbols_, goroutines_.present()};
  std::map<uint64_t, Register> calls_;  // of goroutines_ and heap_
  HeapBlocks heap_;
  uint64_t heap_calls_ = 0;
  // Not yet said to be a mistake: glibc frees what a thread that ends has kept for itself, which
  // another one may have freed first.
  std::map<TaskId, std::vector<Access>> freed_again_;
  KernelOrder kernel_order_;
  SignalOwners signal_owners_{{1}, {}};
  SignalHandlers handlers_{[this](uint64_t key) { return goroutines_.numbered(key); }};
  size_t quiet_end_ = 0;  // the event from which on accesses are logged
  bool logging_ = false;
  std::optional<std::vector<uint32_t>> shared_lines_;
  LineTable* lines_ = nullptr;
  std::map<TaskId, Place> left_by_signal_;  // calls that a signal ended last
  std::unique_ptr<Replayer> replayer_;
  RaceDetector detector_;
  std::unordered_map<uint64_t, uint64_t> executions_;
  std::map<TaskId, Ticks> ticks_;
  AnalysedRun run_;
};

}  // namespace

AnalysedRun analyse(const std::vector<Event>& recording, const PinnedFiles& files,
                    const Symbols& symbols, const AnalysisOptions& options) {
  return Analysis(recording, files, symbols, options).run();
}

}  // namespace heddle
