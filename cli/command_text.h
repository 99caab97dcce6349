// A program's arguments as a shell would take them.
#pragma once

#include <string>
#include <vector>

namespace heddle::cli {

std::string command_text(const std::vector<std::string>& words);

}  // namespace heddle::cli
