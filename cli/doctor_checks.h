// What heddle needs of a machine, each tried for real.
#pragma once

#include <string>
#include <vector>

namespace heddle::cli {

struct CheckResult {
  std::string name;
  bool works = false;
  std::string found;   // what was seen: "a system call stop", "Operation not permitted"
  std::string advice;  // what to do; empty where it works
};

// In the order of what builds on what. Leaves nothing behind but the trace store's directory and
// the catalog, where they were missing.
std::vector<CheckResult> check_machine();

}  // namespace heddle::cli
