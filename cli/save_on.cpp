#include "cli/save_on.h"

#include <sys/wait.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "machine/tracee/signal_state.h"

namespace heddle::cli {
namespace {

bool by_fault(int status) {
  return WIFSIGNALED(status) &&
         SignalState::default_of(WTERMSIG(status)) == SignalState::Disposition::core;
}

bool by_signal(int status) {
  return WIFSIGNALED(status);
}

}  // namespace

SaveOn::SaveOn(const std::string& text) : always_(false) {
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    if (word == "always")
      always_ = true;
    else if (word == "crash")
      crash_ = true;
    else if (word == "signal")
      signal_ = true;
    else if (word == "exit!=0")
      failure_ = true;
    else
      throw std::invalid_argument("--save-on: '" + word +
                                  "' is none of crash, exit!=0, signal, always");
  }
}

bool SaveOn::keeps(int status, const std::vector<int>& endings) const {
  return always_ || (failure_ && status != 0) ||
         (crash_ && (by_fault(status) || std::ranges::any_of(endings, by_fault))) ||
         (signal_ && (by_signal(status) || std::ranges::any_of(endings, by_signal)));
}

}  // namespace heddle::cli
