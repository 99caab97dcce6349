// Which recordings are worth keeping.
#pragma once

#include <string>
#include <vector>

namespace heddle::cli {

// `heddle record --save-on`: any of the conditions, separated by commas.
//   crash    some process was ended by a signal that stands for a fault of its own (signal(7):
//   Core) signal   some process was ended by a signal exit!=0  the program did not end with status
//   0 always   as it says; the default
class SaveOn {
 public:
  SaveOn() = default;
  // Throws std::invalid_argument.
  explicit SaveOn(const std::string& text);

  bool always() const { return always_; }
  // `status`: wait(2)'s status word of the first process; `endings`: of all of the tree.
  bool keeps(int status, const std::vector<int>& endings) const;

 private:
  bool always_ = true, crash_ = false, signal_ = false, failure_ = false;
};

}  // namespace heddle::cli
