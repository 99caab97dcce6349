#include "trace_format/wire.h"

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>

#include "trace_format/logged_calls.h"
#include "trace_format/trace.capnp.h"

namespace heddle {
namespace {

constexpr uint32_t kMaxMessage = 256u << 20;  // bytes; an Exec event holds the stack and data pages

// A record of calls, where others have their length.
struct CallsHeader {
  uint32_t size;  // kCalls, and bytes of the record
  uint32_t zero;
  uint64_t first_event;
  uint64_t time_ns;
};
constexpr uint32_t kCalls = 1u << 31;

capnp::Data::Reader as_data(std::span<const uint8_t> bytes) {
  return capnp::Data::Reader(kj::arrayPtr(bytes.data(), bytes.size()));
}

void put(capnp::List<wire::Effect>::Builder out, const std::vector<MemoryEffect>& effects) {
  for (unsigned i = 0; i < effects.size(); ++i) {
    out[i].setAddress(effects[i].address);
    out[i].setBytes(as_data(effects[i].bytes));
  }
}

std::vector<MemoryEffect> take(capnp::List<wire::Effect>::Reader in) {
  std::vector<MemoryEffect> effects;
  for (const auto e : in) {
    const auto bytes = e.getBytes();
    effects.push_back({e.getAddress(), {bytes.begin(), bytes.end()}});
  }
  return effects;
}

void put(wire::FileRange::Builder out, const std::optional<FileRange>& file) {
  if (!file) return;
  out.setContent(file->content);
  out.setOffset(file->offset);
  out.setObject(file->object);
  out.setObjectSize(file->object_size);
}

std::optional<FileRange> take(wire::FileRange::Reader in) {
  if (in.getContent().size() == 0 && in.getObject() == 0) return std::nullopt;
  FileRange file{in.getContent().cStr(), in.getOffset(), in.getObject(), in.getObjectSize()};
  if (file.content.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw TraceError("a pinned file's name is not a digest");
  return file;
}

Registers take_registers(capnp::List<uint64_t>::Reader in) {
  if (in.size() != kRegisterCount) throw TraceError("a register set of the wrong size");
  Registers r;
  for (unsigned i = 0; i < kRegisterCount; ++i) r.values[i] = in[i];
  return r;
}

struct Encoder {
  wire::Event::Body::Builder out;

  void operator()(const event::Exec& e) {
    auto o = out.initExec();
    o.setPath(e.path);
    auto arguments = o.initArguments(static_cast<unsigned>(e.arguments.size()));
    for (unsigned i = 0; i < e.arguments.size(); ++i) arguments.set(i, e.arguments[i]);
    auto environment = o.initEnvironment(static_cast<unsigned>(e.environment.size()));
    for (unsigned i = 0; i < e.environment.size(); ++i) environment.set(i, e.environment[i]);
    o.setWorkingDirectory(e.working_directory);
    auto registers = o.initRegisters(kRegisterCount);
    for (unsigned i = 0; i < kRegisterCount; ++i) registers.set(i, e.registers.values[i]);
    auto mappings = o.initMappings(static_cast<unsigned>(e.mappings.size()));
    for (unsigned i = 0; i < e.mappings.size(); ++i) {
      const auto& m = e.mappings[i];
      mappings[i].setStart(m.start);
      mappings[i].setSize(m.size);
      mappings[i].setProt(m.prot);
      mappings[i].setFlags(m.flags);
      mappings[i].setPath(m.path);
      put(mappings[i].initFile(), m.file);
    }
    put(o.initContents(static_cast<unsigned>(e.contents.size())), e.contents);
    auto reserved = o.initReserved(static_cast<unsigned>(e.reserved.size()));
    for (unsigned i = 0; i < e.reserved.size(); ++i) {
      reserved[i].setStart(e.reserved[i].start);
      reserved[i].setSize(e.reserved[i].size);
    }
    o.setBrk(e.brk);
    o.setPid(e.pid);
    o.setBlockedSignals(e.blocked_signals);
    o.setIgnoredSignals(e.ignored_signals);
    auto features = o.initCpuFeatures(static_cast<unsigned>(e.cpu_features.size()));
    for (unsigned i = 0; i < e.cpu_features.size(); ++i) features.set(i, e.cpu_features[i]);
    auto answers = o.initCpuid(static_cast<unsigned>(e.cpuid.size()));
    for (unsigned i = 0; i < e.cpuid.size(); ++i) {
      answers[i].setLeaf(e.cpuid[i].leaf);
      answers[i].setSubleaf(e.cpuid[i].subleaf);
      answers[i].setAnySubleaf(e.cpuid[i].any_subleaf);
      answers[i].setEax(e.cpuid[i].eax);
      answers[i].setEbx(e.cpuid[i].ebx);
      answers[i].setEcx(e.cpuid[i].ecx);
      answers[i].setEdx(e.cpuid[i].edx);
    }
  }
  void operator()(const event::Syscall& e) {
    auto o = out.initSyscall();
    o.setNumber(e.number);
    auto arguments = o.initArguments(6);
    for (unsigned i = 0; i < 6; ++i) arguments.set(i, e.arguments[i]);
    o.setResult(e.result);
    put(o.initEffects(static_cast<unsigned>(e.effects.size())), e.effects);
    put(o.initFile(), e.file);
    o.setChild(e.child);
    o.setInterrupted(e.interrupted);
    o.setObjectBytes({e.object_bytes.data(), e.object_bytes.size()});
    auto texts = o.initTexts(static_cast<unsigned>(e.texts.size()));
    for (unsigned n = 0; n < e.texts.size(); ++n) texts.set(n, e.texts[n]);
    o.setMakesProcess(e.makes_process);
    o.setHasGiven(e.given.has_value());
    o.setGiven(e.given.value_or(0));
  }
  void operator()(const event::Instruction& e) {
    auto o = out.initInstruction();
    o.setKind(e.kind);
    o.setRax(e.rax);
    o.setRbx(e.rbx);
    o.setRcx(e.rcx);
    o.setRdx(e.rdx);
    o.setRflags(e.rflags);
    o.setOperand(e.operand ? static_cast<uint8_t>(1 + static_cast<unsigned>(*e.operand)) : 0);
    o.setValue(e.value);
  }
  void operator()(const event::Signal& e) {
    auto o = out.initSignal();
    o.setNumber(e.number);
    o.setSynchronous(e.synchronous);
    o.setFatal(e.fatal);
    o.setSiginfo(as_data(e.siginfo));
  }
  void operator()(const event::Switch& e) { out.setSwitch(e.next); }
  void operator()(const event::TaskExit& e) {
    auto o = out.initTaskExit();
    o.setStatus(e.status);
    put(o.initEffects(static_cast<unsigned>(e.effects.size())), e.effects);
  }
  void operator()(const event::ProcessExit& e) { out.setProcessExit(e.status); }
  void operator()(const event::Taint& e) { out.setTaint(e.reason); }
  void operator()(const event::Released& e) { out.setReleased(e.reason); }
  void operator()(const event::StateHash& e) {
    auto o = out.initStateHash();
    o.setExtended(e.extended);
    auto ranges = o.initMemory(static_cast<unsigned>(e.memory.size()));
    for (unsigned i = 0; i < e.memory.size(); ++i) {
      ranges[i].setStart(e.memory[i].start);
      ranges[i].setSize(e.memory[i].size);
      ranges[i].setHash(e.memory[i].hash);
    }
  }
};

EventBody take_body(wire::Event::Body::Reader in) {
  switch (in.which()) {
    case wire::Event::Body::EXEC: {
      const auto i = in.getExec();
      event::Exec e;
      e.path = i.getPath();
      for (const auto a : i.getArguments()) e.arguments.emplace_back(a.cStr());
      for (const auto a : i.getEnvironment()) e.environment.emplace_back(a.cStr());
      e.working_directory = i.getWorkingDirectory();
      e.registers = take_registers(i.getRegisters());
      for (const auto m : i.getMappings())
        e.mappings.push_back(
            {m.getStart(), m.getSize(), m.getProt(), m.getFlags(), m.getPath(), take(m.getFile())});
      e.contents = take(i.getContents());
      for (const auto r : i.getReserved()) e.reserved.push_back({r.getStart(), r.getSize()});
      e.brk = i.getBrk();
      e.pid = i.getPid();
      e.blocked_signals = i.getBlockedSignals();
      e.ignored_signals = i.getIgnoredSignals();
      for (const auto f : i.getCpuFeatures()) e.cpu_features.emplace_back(f.cStr());
      for (const auto a : i.getCpuid())
        e.cpuid.push_back({a.getLeaf(), a.getSubleaf(), a.getAnySubleaf(), a.getEax(), a.getEbx(),
                           a.getEcx(), a.getEdx()});
      return e;
    }
    case wire::Event::Body::SYSCALL: {
      const auto i = in.getSyscall();
      event::Syscall e;
      e.number = i.getNumber();
      if (i.getArguments().size() != 6) throw TraceError("a system call without six arguments");
      for (unsigned n = 0; n < 6; ++n) e.arguments[n] = i.getArguments()[n];
      e.result = i.getResult();
      e.effects = take(i.getEffects());
      e.file = take(i.getFile());
      e.child = i.getChild();
      e.interrupted = i.getInterrupted();
      e.object_bytes.assign(i.getObjectBytes().begin(), i.getObjectBytes().end());
      for (const auto text : i.getTexts()) e.texts.emplace_back(text.cStr(), text.size());
      e.makes_process = i.getMakesProcess();
      if (i.getHasGiven()) e.given = i.getGiven();
      return e;
    }
    case wire::Event::Body::INSTRUCTION: {
      const auto i = in.getInstruction();
      event::Instruction e{i.getKind(), i.getRax(), i.getRbx(),
                           i.getRcx(),  i.getRdx(), i.getRflags()};
      if (i.getOperand() > 16) throw TraceError("an instruction's operand of no register");
      if (i.getOperand() != 0) e.operand = static_cast<Register>(i.getOperand() - 1);
      e.value = i.getValue();
      return e;
    }
    case wire::Event::Body::SIGNAL: {
      const auto i = in.getSignal();
      event::Signal e;
      e.number = i.getNumber();
      e.synchronous = i.getSynchronous();
      e.fatal = i.getFatal();
      const auto info = i.getSiginfo();
      if (info.size() != e.siginfo.size()) throw TraceError("a siginfo of the wrong size");
      std::copy(info.begin(), info.end(), e.siginfo.begin());
      return e;
    }
    case wire::Event::Body::SWITCH:
      return event::Switch{in.getSwitch()};
    case wire::Event::Body::TASK_EXIT:
      return event::TaskExit{in.getTaskExit().getStatus(), take(in.getTaskExit().getEffects())};
    case wire::Event::Body::PROCESS_EXIT:
      return event::ProcessExit{in.getProcessExit()};
    case wire::Event::Body::RELEASED:
      return event::Released{in.getReleased()};
    case wire::Event::Body::TAINT:
      return event::Taint{in.getTaint()};
    case wire::Event::Body::STATE_HASH: {
      event::StateHash e;
      e.extended = in.getStateHash().getExtended();
      for (const auto r : in.getStateHash().getMemory())
        e.memory.push_back({r.getStart(), r.getSize(), r.getHash()});
      return e;
    }
  }
  throw TraceError("an event of unknown kind");
}

}  // namespace

void encode(const Event& event, std::vector<uint8_t>& out) {
  // Most events fit into this, which spares clearing the usual first segment of 8 KiB.
  capnp::word room[96]{};
  capnp::MallocMessageBuilder message(kj::arrayPtr(room, std::size(room)));
  auto e = message.initRoot<wire::Event>();
  e.setNumber(event.number);
  e.setTimeNs(event.time_ns);
  e.setTask(event.place.task);
  e.setTicks(event.place.ticks);
  e.setPc(event.place.pc);
  e.setPhase(event.place.phase);
  if (event.registers) {
    auto registers = e.initRegisters(kRegisterCount);
    for (unsigned i = 0; i < kRegisterCount; ++i) registers.set(i, event.registers->values[i]);
  }
  std::visit(Encoder{e.getBody()}, event.body);
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  const auto size = static_cast<uint32_t>(bytes.size());
  const auto at = out.size();
  out.resize(at + sizeof size + size);
  std::memcpy(out.data() + at, &size, sizeof size);
  std::memcpy(out.data() + at + sizeof size, bytes.begin(), size);
}

uint64_t record_size(uint32_t first) {
  return first & kCalls ? first & ~kCalls : sizeof first + uint64_t{first};
}

void encode_calls(std::span<const uint8_t> entries, uint64_t first_event, uint64_t time_ns,
                  std::vector<uint8_t>& out) {
  const CallsHeader header{kCalls | static_cast<uint32_t>(sizeof header + entries.size()), 0,
                           first_event, time_ns};
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  out.insert(out.end(), bytes, bytes + sizeof header);
  size_t at = out.size();
  out.insert(out.end(), entries.begin(), entries.end());
  // The record's own checksum is for all of them.
  while (at < out.size()) {
    uint32_t size = 0;
    std::memcpy(&size, out.data() + at + offsetof(heddle_log_entry, size), sizeof size);
    std::memset(out.data() + at, 0, sizeof heddle_log_entry::check);
    at += size;
  }
}

std::optional<LoggedCalls> take_calls(std::span<const uint8_t>& bytes) {
  uint32_t first = 0;
  if (bytes.size() < sizeof first) return std::nullopt;
  std::memcpy(&first, bytes.data(), sizeof first);
  if (!(first & kCalls)) return std::nullopt;
  CallsHeader header{};
  if (bytes.size() < sizeof header) throw TraceError("a record of calls is cut off");
  std::memcpy(&header, bytes.data(), sizeof header);
  const uint64_t size = header.size & ~kCalls;
  if (size < sizeof header || size > bytes.size() || header.zero != 0)
    throw TraceError("a record of calls has an impossible length");
  const auto entries = bytes.subspan(sizeof header, size - sizeof header);
  const auto count = entry_count(entries);
  if (!count) throw TraceError("a record of calls has an entry that is not whole");
  bytes = bytes.subspan(size);
  return LoggedCalls{header.first_event, *count, header.time_ns, entries};
}

void decode(std::span<const uint8_t>& bytes, std::deque<Event>& out) try {
  uint32_t size = 0;
  if (bytes.size() < sizeof size) throw TraceError("an event's length is cut off");
  std::memcpy(&size, bytes.data(), sizeof size);
  if (const auto calls = take_calls(bytes)) {
    auto entries = calls->entries;
    for (uint64_t number = calls->first_event; !entries.empty(); ++number) {
      const size_t length = *entry_size(entries);
      out.push_back(logged_call(entries.first(length), number, calls->time_ns));
      entries = entries.subspan(length);
    }
    return;
  }
  if (size > kMaxMessage || size > bytes.size() - sizeof size || size % 8 != 0)
    throw TraceError("an event's length is impossible");
  std::vector<capnp::word> words(size / 8);
  if (size != 0) std::memcpy(static_cast<void*>(words.data()), bytes.data() + sizeof size, size);
  // Each part is read a few times at most. Pointers to the same part, and lists whose elements have
  // no size, would make much of little.
  capnp::ReaderOptions limits;
  limits.traversalLimitInWords = 8 * words.size() + 1024;
  capnp::FlatArrayMessageReader message({words.data(), words.size()}, limits);
  const auto e = message.getRoot<wire::Event>();
  Event event;
  event.number = e.getNumber();
  event.time_ns = e.getTimeNs();
  event.place = {e.getTask(), e.getTicks(), e.getPc(), e.getPhase()};
  if (e.getRegisters().size() != 0) event.registers = take_registers(e.getRegisters());
  event.body = take_body(e.getBody());
  bytes = bytes.subspan(sizeof size + size);
  out.push_back(std::move(event));
} catch (const kj::Exception& error) {
  throw TraceError(std::string("an event is malformed: ") + error.getDescription().cStr());
}

}  // namespace heddle
