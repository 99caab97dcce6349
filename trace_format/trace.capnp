@0xc3d1f0a95b7e4a21;
# The entries of a trace on disk. trace_format/event.h says what the fields mean.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("heddle::wire");

struct Effect {
  address @0 :UInt64;
  bytes @1 :Data;
}

struct FileRange {
  content @0 :Text;   # lower-case hexadecimal digits only
  offset @1 :UInt64;
  object @2 :UInt32;  # 0 with an empty content: there is no file
  objectSize @3 :UInt64;
}

struct Mapping {
  start @0 :UInt64;   # page aligned
  size @1 :UInt64;    # a multiple of the page size
  prot @2 :UInt32;
  flags @3 :UInt32;
  path @4 :Text;
  file @5 :FileRange;
}

struct Range {
  start @0 :UInt64;
  size @1 :UInt64;
}

struct Event {
  number @0 :UInt64;            # from 0, without gaps
  timeNs @1 :UInt64;
  task @2 :UInt32;
  ticks @3 :UInt64;
  pc @4 :UInt64;
  phase @5 :UInt8;
  registers @6 :List(UInt64);   # empty: not captured; otherwise exactly 19 values
  body :union {
    exec @7 :Exec;
    syscall @8 :Syscall;
    instruction @9 :Instruction;
    signal @10 :Signal;
    switch @11 :UInt32;
    taskExit @12 :TaskExit;
    processExit @13 :Int32;
    taint @14 :Text;
    stateHash @15 :StateHash;
    released @16 :Text;
  }
}

struct Exec {
  path @0 :Text;
  arguments @1 :List(Text);
  environment @2 :List(Text);
  workingDirectory @3 :Text;
  registers @4 :List(UInt64);   # exactly 19 values
  mappings @5 :List(Mapping);
  contents @6 :List(Effect);
  reserved @7 :List(Range);
  brk @8 :UInt64;
  pid @9 :Int32;
  blockedSignals @10 :UInt64;
  ignoredSignals @11 :UInt64;
  cpuFeatures @12 :List(Text);
  cpuid @13 :List(CpuidAnswer);
}

struct CpuidAnswer {
  leaf @0 :UInt32;
  subleaf @1 :UInt32;
  anySubleaf @2 :Bool;
  eax @3 :UInt32;
  ebx @4 :UInt32;
  ecx @5 :UInt32;
  edx @6 :UInt32;
}

struct Syscall {
  number @0 :UInt32;
  arguments @1 :List(UInt64);   # exactly 6 values
  result @2 :Int64;
  effects @3 :List(Effect);
  file @4 :FileRange;
  child @5 :UInt32;
  interrupted @6 :Bool;
  objectBytes @7 :Data;
  texts @8 :List(Text);         # no byte of them is zero
  makesProcess @9 :Bool;
  hasGiven @10 :Bool;
  given @11 :UInt64;            # digest of the bytes that the kernel took: syscall_log.h
}

struct Instruction {
  kind @0 :UInt16;
  rax @1 :UInt64;
  rbx @2 :UInt64;
  rcx @3 :UInt64;
  rdx @4 :UInt64;
  rflags @5 :UInt64;
  operand @6 :UInt8;            # 0: none; otherwise 1 + the number of a general register
  value @7 :UInt64;
}

struct Signal {
  number @0 :Int32;
  synchronous @1 :Bool;
  fatal @2 :Bool;
  siginfo @3 :Data;             # exactly 128 bytes
}

struct TaskExit {
  status @0 :Int32;
  effects @1 :List(Effect);
}

struct HashedRange {
  start @0 :UInt64;
  size @1 :UInt64;
  hash @2 :UInt64;
}

struct StateHash {
  extended @0 :UInt64;
  memory @1 :List(HashedRange);
}
