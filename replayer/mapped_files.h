// Which files the processes of a recording have mapped, at one point of it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "machine/stacks/module.h"
#include "replayer/replayer.h"

namespace heddle {

// Feed it every event from the first on, each when the replayer has advanced over it.
class MappedFiles {
 public:
  explicit MappedFiles(PinnedFiles files) : files_(std::move(files)) {}
  void advance(const Event& event, Replayer& replayer);

  // The files that have their first byte mapped in the process of `guest`.
  std::vector<Module> modules(const Guest& guest) const;

 private:
  // Where a file's first byte is: FileRange::content.
  using Files = std::map<uint64_t, std::string>;

  PinnedFiles files_;
  std::map<const Guest*, Files> processes_;  // of ended ones too, until their Guest is used again
};

}  // namespace heddle
