#include "replayer/guest.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "machine/pages.h"
#include "machine/syscalls/effects.h"
#include "machine/tracee/cpuid_table.h"

namespace heddle {
namespace {

// What the kernel would let the first stack grow to (the default RLIMIT_STACK).
constexpr uint64_t kStackSize = uint64_t{8} << 20;

[[noreturn]] void refuse(int64_t result, const std::string& what) {
  throw std::system_error(static_cast<int>(-result), std::generic_category(), what);
}

bool logs(const translator::Options& options) {
  return options.log_accesses || options.log_locked || options.calls;
}

}  // namespace

Guest::Guest(const event::Exec& exec, PinnedFiles files, const translator::Options& options,
             const Place& at)
    : process_(HostProcess::start_empty()), files_(std::move(files)) {
  cache_ = std::make_shared<CodeCache>(process_.shared_code(), options);
  std::vector<RemoteCall> calls;
  for (const auto& mapping : exec.mappings) {
    uint64_t start = mapping.start;
    uint64_t size = mapping.size;
    if (mapping.path == "[stack]" && size < kStackSize) {
      start = mapping.start + mapping.size - kStackSize;
      size = kStackSize;
    }
    if (mapping.file)
      calls.push_back(mapping_of_file(start, size, mapping.prot, MAP_FIXED | MAP_PRIVATE,
                                      *mapping.file, mapping.file->offset));
    else
      calls.push_back({SYS_mmap,
                       {start, size, mapping.prot,
                        MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull, 0}});
  }
  process_.remote_syscalls(process_.thread(), calls);
  for (size_t i = 0; i < calls.size(); ++i)
    if (is_error(calls[i].result))
      refuse(calls[i].result, "placing the mapping " + exec.mappings[i].path);
  if (logs(options)) place_access_log();
  place_lines(options.filter);
  if (options.runtime_syscalls) {
    const uint64_t size = page_up(sizeof(heddle_log) + kAnswers);
    const int64_t got =
        process_.remote_syscall(SYS_mmap, {layout::kSyscallLog.start, size, PROT_READ | PROT_WRITE,
                                           MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0});
    if (is_error(got)) refuse(got, "placing the log of system calls");
    give_answers({});
  }
  place_cpuid_answers(process_.memory(), exec.cpuid);
  apply(exec.contents);
  brk_start_ = exec.brk;
  set_program_break(exec.brk);
  cpu_ = std::make_unique<GuestCpu>(process_, cache_, process_.thread(), 1);
  TaskContext first;
  first.task = current_ = at.task;
  first.ticks = at.ticks;
  first.registers = exec.registers;
  tasks_[first.task] = first;
}

void Guest::place_access_log() {
  const int64_t got = process_.remote_syscall(
      SYS_mmap, {layout::kAccessLog.start, layout::kAccessLogUsed, PROT_READ | PROT_WRITE,
                 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull, 0});
  if (is_error(got)) refuse(got, "placing the access log");
}

void Guest::place_lines(translator::AccessFilter filter) {
  lines_.reset();
  if (filter != translator::AccessFilter::none)
    lines_ = std::make_unique<LineTable>(process_, filter);
}

void Guest::translate_with(const translator::Options& options) {
  if (!logs(cache_->options()) && logs(options)) place_access_log();
  place_lines(options.filter);
  auto fresh = std::make_shared<CodeCache>(process_.renew_code(process_.thread()), options);
  cache_ = std::move(fresh);
}

Guest::~Guest() {
  try {
    process_.kill();
  } catch (const std::exception&) {
    // The process is gone already.
  }
}

std::unique_ptr<Guest> Guest::fork() {
  auto copy = copied();
  copy->shared_ = shared_->separate(copy->process_);
  return copy;
}

std::unique_ptr<Guest> Guest::copied() {
  std::unique_ptr<Guest> copy(new Guest());
  copy->process_ = process_.fork_checkpoint();
  copy->cache_ = cache_;
  copy->files_ = files_;
  copy->descriptors_ = descriptors_;
  copy->tasks_ = tasks_;
  copy->extended_ = extended_;
  copy->current_ = current_;
  copy->brk_start_ = brk_start_;
  copy->shared_ = shared_;
  if (lines_) LineTable::hide(copy->process_);
  copy->cpu_ = std::make_unique<GuestCpu>(copy->process_, copy->cache_, copy->process_.thread(), 1);
  return copy;
}

TaskContext& Guest::task(TaskId task) {
  const auto it = tasks_.find(task);
  if (it == tasks_.end())
    throw std::out_of_range("there is no task " + std::to_string(task) + " at this point");
  return it->second;
}

void Guest::activate(TaskId next) {
  if (next == current_) return;
  if (tasks_.contains(current_)) extended_[current_] = process_.thread().extended_state();
  const auto it = extended_.find(next);
  if (it == extended_.end()) throw std::logic_error("a task without extended registers");
  process_.thread().set_extended_state(it->second);
  current_ = next;
}

TaskContext Guest::child_context(TaskId parent, TaskId child, const SyscallRequest& request) {
  const auto clone = clone_arguments(request.number, request.arguments, memory());
  if (!clone) throw std::runtime_error("the arguments of clone are not readable");
  return task(parent).cloned(child, *clone);
}

void Guest::add_task(TaskId parent, TaskId child, const SyscallRequest& request) {
  tasks_[child] = child_context(parent, child, request);
  activate(parent);
  extended_[child] = process_.thread().extended_state();
}

std::unique_ptr<Guest> Guest::fork_process(TaskId parent, TaskId child,
                                           const SyscallRequest& request) {
  activate(parent);
  auto copy = copied();
  copy->tasks_.clear();
  copy->tasks_[child] = child_context(parent, child, request);
  copy->extended_.clear();
  copy->current_ = child;
  return copy;
}

// Translations of changed code go. Where copies share them, this guest gets its own first.
void Guest::code_changed(uint64_t start, uint64_t size, bool executable) {
  const bool held = cache_->holds(start, size);
  if (held || executable) cpu_->own_code();
  if (held) cache_->invalidate(start, size);
}

void Guest::shared_code_changed() {
  for (const uint64_t page : memory().watched().take_shared()) code_changed(page, kPage, false);
}

// The guest mapped, unmapped or protected this.
void Guest::mapping_changed(uint64_t start, uint64_t size, bool executable) {
  // What was read of code may be known without a translation of it.
  if (memory().mappings_changed(start, size)) cache_->invalidate(start, 0);
  for (const uint64_t page : process_.mapping_changed(start, size))
    code_changed(page, kPage, false);
  code_changed(start, size, executable);
}

void Guest::remove_task(TaskId task) {
  tasks_.erase(task);
  extended_.erase(task);
}

Exit Guest::run(TaskId id, Ticks budget, uint64_t points) {
  activate(id);
  return cpu_->run(task(id), budget, points);
}

std::optional<Exit> Guest::run_to(const Place& place) {
  TaskContext& context = task(place.task);
  activate(place.task);
  if (context.ticks < place.ticks) {
    const Exit exit = cpu_->run(context, place.ticks - context.ticks);
    if (exit.kind != Exit::Kind::budget) return exit;
  }
  if (context.place() == place || context.ticks > place.ticks) return std::nullopt;
  const Exit exit = cpu_->run_exact(context, {place.pc, place.phase});
  if (exit.kind != Exit::Kind::stop) return exit;
  return std::nullopt;
}

void Guest::apply(const std::vector<MemoryEffect>& effects) {
  for (const auto& effect : effects) {
    if (!memory().write(effect.address, effect.bytes) &&
        !shared_->write(process_, effect.address, effect.bytes)) {
      char where[32];
      std::snprintf(where, sizeof where, "0x%llx", static_cast<unsigned long long>(effect.address));
      throw std::runtime_error(std::string("a recorded memory effect at ") + where +
                               " falls on unmapped memory");
    }
  }
}

void Guest::give_answers(std::span<const uint8_t> entries) {
  if (entries.size() > kAnswers) throw std::logic_error("more answers than the log has room for");
  std::vector<uint8_t> bytes(sizeof(heddle_log) + entries.size());
  heddle_log log{};
  log.magic = HEDDLE_LOG_MAGIC;
  log.mode = HEDDLE_LOG_REPLAY;
  log.capacity = kAnswers;
  log.used = heddle_log_count(static_cast<uint32_t>(entries.size()));
  std::memcpy(bytes.data(), &log, sizeof log);
  std::ranges::copy(entries, bytes.begin() + sizeof log);
  if (!memory().write(layout::kSyscallLog.start, bytes))
    throw std::runtime_error("writing the log of system calls in the replaying process");
}

uint64_t Guest::answered() const {
  const auto log = process_.memory().load<heddle_log>(layout::kSyscallLog.start);
  if (!log) throw TraceeGone("the replaying process is gone");
  return log->served;
}

void Guest::answer(uint64_t offset, std::span<uint8_t> bytes) const {
  if (process_.memory().read(layout::kSyscallLog.start + sizeof(heddle_log) + offset, bytes) !=
      bytes.size())
    throw TraceeGone("the replaying process is gone");
}

ExtendedState Guest::extended_state(TaskId id) {
  activate(id);
  return canonical_state(process_.thread().extended_state());
}

bool Guest::push_frame(TaskId id, SignalState& signals, const SignalInfo& info,
                       std::optional<uint64_t> mask_to_restore) {
  activate(id);
  return enter_handler(task(id), process_.thread(), memory(), signals, info, mask_to_restore);
}

bool Guest::pop_frame(TaskId id, SignalState& signals) {
  activate(id);
  return leave_handler(task(id), process_.thread(), memory(), signals);
}

}  // namespace heddle
