// Signals as users write them.
#pragma once

#include <string>

namespace heddle::cli {

// "SIGUSR1", "USR1" or "10". Throws std::invalid_argument for what is no signal.
int signal_number(const std::string& name);

}  // namespace heddle::cli
