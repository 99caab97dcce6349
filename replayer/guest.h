// A program in the state that a trace's beginning describes, ready to run: one host process whose
// address space is the guest's, and all the guest's tasks as contexts of it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "machine/kernel.h"
#include "machine/tracee/extended_state.h"
#include "machine/tracee/guest_cpu.h"
#include "machine/tracee/line_table.h"
#include "machine/tracee/signal_delivery.h"
#include "machine/tracee/signal_state.h"
#include "replayer/shared_objects.h"
#include "trace_format/event.h"
#include "trace_format/syscall_log.h"

namespace heddle {

// Where a pinned file's bytes are, by FileRange::content.
using PinnedFiles = std::function<std::filesystem::path(const std::string&)>;

class Guest {
 public:
  // Starts a process and places the image of `exec` in it; task 1 is at its first instruction.
  // Throws std::system_error where the system refuses, TraceError where the trace is unusable.
  // `at`: where its only task is, if not task 1 without a tick.
  Guest(const event::Exec& exec, PinnedFiles files, const translator::Options& options,
        const Place& at = {1, 0, 0, 0});
  ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  // A copy that goes its own way from here; shares the code cache.
  std::unique_ptr<Guest> fork();

  ProcessMemory& memory() { return process_.memory(); }
  GuestCpu& cpu() { return *cpu_; }
  CodeCache& cache() { return *cache_; }
  // See CodeCache::keep_in.
  void keep_translations(std::filesystem::path file) { cache_->keep_in(std::move(file), process_); }
  // With Options::filter; null: none.
  LineTable* lines() { return lines_.get(); }
  // From now on its code is translated with these options. No task is inside of an instruction.
  void translate_with(const translator::Options& options);
  bool has_task(TaskId task) const { return tasks_.contains(task); }
  TaskContext& task(TaskId task);
  TaskId current() const { return current_; }

  // A copy in which `child` is the only task: what fork made of `parent`.
  std::unique_ptr<Guest> fork_process(TaskId parent, TaskId child, const SyscallRequest& request);

  // A new thread as clone made it: the parent's registers, but what `request` says.
  void add_task(TaskId parent, TaskId child, const SyscallRequest& request);
  void remove_task(TaskId task);

  // Runs one task until the next Exit. The others keep still.
  Exit run(TaskId task, Ticks budget = GuestCpu::kUnlimited,
           uint64_t points = GuestCpu::kUnlimited);
  // Runs place.task until it is exactly there. Nothing: it is. Otherwise what came before.
  std::optional<Exit> run_to(const Place& place);

  // The request that a task stopped at a syscall instruction makes.
  SyscallRequest request(TaskId id) { return task(id).request(); }
  // Lets the task's call return: rax, rcx and r11 as the instruction leaves them, rip behind it.
  void complete(TaskId id, int64_t result) { task(id).complete_call(result); }
  // The same for a special instruction.
  void complete(TaskId id, const event::Instruction& answer, unsigned length) {
    complete_instruction(answer, length, task(id).registers);
  }

  // Does an address-space call for real. `expected` is the recorded result, which decides where a
  // mapping goes; without it the host's kernel does. Returns the result for the guest.
  int64_t perform(const SyscallRequest& request, std::optional<int64_t> expected,
                  const std::optional<FileRange>& file);

  // Builds the frame of a signal with a handler; false where the stack is not usable.
  bool push_frame(TaskId task, SignalState& signals, const SignalInfo& info,
                  std::optional<uint64_t> mask_to_restore = std::nullopt);
  // rt_sigreturn; false where the frame is not readable.
  bool pop_frame(TaskId task, SignalState& signals);

  void apply(const std::vector<MemoryEffect>& effects);
  // The memory may hold other code than before, or is executable now.
  void code_changed(uint64_t start, uint64_t size, bool executable);
  // The same, for all that is mapped shared.
  void shared_code_changed();
  // What the tree of processes maps shared.
  const std::shared_ptr<SharedObjects>& shared() const { return shared_; }
  void use(std::shared_ptr<SharedObjects> shared) { shared_ = std::move(shared); }

  // Canonical: see canonical_state.
  ExtendedState extended_state(TaskId task);

  // With Options::runtime_syscalls: calls that the runtime is to answer in the next runs, in this
  // order, if the guest makes them as the entries say (trace_format/syscall_log.h); at most
  // kAnswers bytes. Any other call stops.
  static constexpr size_t kAnswers = 511 << 10;
  void give_answers(std::span<const uint8_t> entries);
  // Bytes of those that it did answer.
  uint64_t answered() const;
  // What the runtime left behind `offset` in those entries.
  void answer(uint64_t offset, std::span<uint8_t> bytes) const;

 private:
  // The program break, which the runtime moves too.
  uint64_t program_break() const;
  void set_program_break(uint64_t address);
  void mapping_changed(uint64_t start, uint64_t size, bool executable);
  Guest() = default;
  std::unique_ptr<Guest> copied();
  void place_access_log();
  void place_lines(translator::AccessFilter filter);
  void activate(TaskId task);
  TaskContext child_context(TaskId parent, TaskId child, const SyscallRequest& request);
  uint64_t descriptor_of(const std::string& content);
  RemoteCall mapping_of_file(uint64_t address, uint64_t size, uint64_t prot, uint64_t flags,
                             const FileRange& file, uint64_t offset);

  int64_t map_object(uint64_t address, uint64_t size, uint64_t prot, uint64_t flags,
                     const FileRange& file);

  HostProcess process_;
  std::shared_ptr<SharedObjects> shared_ = std::make_shared<SharedObjects>();
  std::shared_ptr<CodeCache> cache_;
  std::unique_ptr<GuestCpu> cpu_;
  std::unique_ptr<LineTable> lines_;
  PinnedFiles files_;
  std::map<std::string, uint64_t> descriptors_;  // of pinned files that are open, by content
  std::map<TaskId, TaskContext> tasks_;
  std::map<TaskId, RawExtendedState> extended_;  // of tasks that are not current
  TaskId current_ = 1;
  uint64_t brk_start_ = 0;
};

}  // namespace heddle
