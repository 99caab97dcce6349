// What a recorded run shows without being changed: which accesses nothing orders.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "explorer/heap_blocks.h"
#include "explorer/race_detector.h"
#include "machine/stacks/symbols.h"
#include "replayer/guest.h"
#include "trace_format/event.h"

namespace heddle {

struct AnalysedRun {
  std::vector<RaceCandidate> races;
  // Of a handler and the thread that it interrupts, where one of both only reads. Right, if no more
  // than one access of the thread's depends on another; a signal in between shows.
  std::vector<RaceCandidate> interruptions;
  std::map<StrandId, int32_t> handlers;  // signals of the strands that are handlers
  // Places of calls that a handled signal ended, with the signals, by pc.
  std::map<uint64_t, std::set<int32_t>> interrupted_calls;
  std::vector<RaceCandidate> lock_ordered;
  std::vector<RaceCandidate> contended;  // accesses to synchronisation variables
  // As it was when the first thread was made; null where nothing races with the end of a block.
  std::shared_ptr<const HeapBlocks> heap;
  std::set<uint64_t> block_users;  // accesses that race with the end of their block, by pc
  std::vector<Access> freed_twice;
  // Of the sites of all three, by pc; in long recordings those in memory that strands share.
  std::map<uint64_t, uint64_t> executions;
  std::string output, error;  // what the program wrote to 1 and 2
  int status = 0;             // wait(2)'s status word
  Ticks ticks = 0;            // of all tasks together
  uint64_t accesses = 0;      // logged
  uint64_t left_out = 0;      // tasks of other processes than the first
};

struct AnalysisOptions {
  // A recording of more ticks with several tasks is replayed twice: see shared_lines.h.
  Ticks filter_above = 20'000'000;
};

// Replays `recording` with the accesses logged that may race. Throws Divergence, TraceError,
// std::system_error.
AnalysedRun analyse(const std::vector<Event>& recording, const PinnedFiles& files,
                    const Symbols& symbols, const AnalysisOptions& options = {});

}  // namespace heddle
