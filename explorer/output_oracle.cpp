#include "explorer/output_oracle.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <sstream>
#include <string_view>
#include <system_error>
#include <vector>

#include "explorer/explanation.h"

namespace heddle {
namespace {

constexpr size_t kMostFiltered = 1000;  // texts that are remembered
constexpr int kNotExecuted = 126;       // the shell's exit status, or 127

[[noreturn]] void fail(int error, const std::string& command) {
  throw std::system_error(error, std::generic_category(), "running " + command);
}

struct Ended {
  int status = 0;  // wait(2)'s status word
  std::string output;
};

// By posix_spawn, which copies nothing of this process: it may hold a guest.
Ended run(const std::string& command, const std::string& input, int exit_status) {
  const int in = memfd_create("heddle-output", MFD_CLOEXEC);
  std::array<int, 2> out;
  if (in < 0 || pipe2(out.data(), O_CLOEXEC) != 0) fail(errno, command);
  for (size_t done = 0; done < input.size();) {
    const ssize_t put = write(in, input.data() + done, input.size() - done);
    if (put < 0 && errno != EINTR) fail(errno, command);
    if (put > 0) done += static_cast<size_t>(put);
  }
  lseek(in, 0, SEEK_SET);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  std::string shell = "sh", option = "-c", text = command;
  std::array<char*, 4> arguments{shell.data(), option.data(), text.data(), nullptr};
  std::string status = "HEDDLE_STATUS=" + std::to_string(exit_status);
  std::vector<char*> environment;
  for (char** variable = environ; *variable; ++variable) environment.push_back(*variable);
  environment.push_back(status.data());
  environment.push_back(nullptr);
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, "/bin/sh", &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  close(in);
  close(out[1]);
  if (error != 0) fail(error, command);
  Ended ended;
  std::array<char, 4096> part;
  while (true) {
    const ssize_t got = read(out[0], part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    ended.output.append(part.data(), static_cast<size_t>(got));
  }
  close(out[0]);
  while (waitpid(pid, &ended.status, 0) < 0 && errno == EINTR) {
  }
  return ended;
}

// Every run of digits, and every name of a day or month as dates have them, is one '#'.
std::string without_numbers(const std::string& line) {
  constexpr std::array<std::string_view, 19> kNames{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun",
                                                    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
                                                    "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto letter = [&](size_t at) {
    return at < line.size() && std::isalpha(static_cast<unsigned char>(line[at])) != 0;
  };
  const auto digit = [&](size_t at) {
    return at < line.size() && line[at] >= '0' && line[at] <= '9';
  };
  std::string text;
  for (size_t at = 0; at < line.size();) {
    const std::string_view three(line.data() + at, std::min<size_t>(3, line.size() - at));
    const bool names = (at == 0 || !letter(at - 1)) && !letter(at + 3) &&
                       std::ranges::find(kNames, three) != kNames.end();
    if (names) {
      at += 3;
    } else if (digit(at)) {
      while (digit(at)) ++at;
    } else {
      text += line[at++];
      continue;
    }
    text += '#';
  }
  return text;
}

std::string without_varying(const std::string& output, const VaryingLines& varying) {
  std::istringstream in(output);
  std::string text;
  for (std::string line; std::getline(in, line);) {
    const std::string rest = without_numbers(line);
    text += (varying.contains(rest) ? rest : line) + "\n";
  }
  return text;
}

}  // namespace

std::string go_failure(const std::string& error) {
  size_t at = 0;
  while (at < error.size()) {
    const size_t end = std::min(error.find('\n', at), error.size());
    const std::string_view line(error.data() + at, end - at);
    if (line.starts_with("panic: ") || line.starts_with("fatal error: ")) return std::string(line);
    at = end + 1;
  }
  return {};
}

bool shows_time(const std::string& text) {
  constexpr size_t kSecondsSinceEpoch = 10;  // digits
  size_t digits = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool digit = std::isdigit(static_cast<unsigned char>(text[at])) != 0;
    digits = digit ? digits + 1 : 0;
    if (digits == kSecondsSinceEpoch) return true;
    const bool minutes = text[at] == ':' && at > 0 && at + 2 < text.size() &&
                         std::isdigit(static_cast<unsigned char>(text[at - 1])) != 0 &&
                         std::isdigit(static_cast<unsigned char>(text[at + 1])) != 0 &&
                         std::isdigit(static_cast<unsigned char>(text[at + 2])) != 0;
    if (minutes) return true;
  }
  return false;
}

VaryingLines varying_lines(const std::string& one, const std::string& other) {
  VaryingLines lines;
  std::istringstream left(one), right(other);
  std::string a, b;
  while (std::getline(left, a) && std::getline(right, b)) {
    if (a == b || !shows_time(a) || !shows_time(b)) continue;
    const std::string rest = without_numbers(a);
    if (rest == without_numbers(b)) lines.insert(rest);
  }
  return lines;
}

OutputOracle::OutputOracle(int status, std::string output, std::string error,
                           const VaryingLines& varying, OracleCommands commands)
    : status_(status),
      output_(std::move(output)),
      error_(std::move(error)),
      varying_(varying),
      commands_(std::move(commands)) {}

const std::string& OutputOracle::filtered(const std::string& text) {
  if (commands_.filter.empty()) return text;
  if (filtered_.size() > kMostFiltered) filtered_.clear();
  const auto [known, fresh] = filtered_.try_emplace(text);
  if (fresh) {
    Ended ended = run(commands_.filter, text, 0);
    // What finds nothing to print may end with 1, as grep does.
    if (!WIFEXITED(ended.status) || WEXITSTATUS(ended.status) >= kNotExecuted)
      throw std::runtime_error("the filter " + commands_.filter + " ended with " +
                               ending(ended.status));
    known->second = std::move(ended.output);
  }
  return known->second;
}

bool OutputOracle::alike(const std::string& one, const std::string& other) {
  if (one == other) return true;
  const auto compared = [this](const std::string& text) {
    return varying_.empty() ? text : without_varying(text, varying_);
  };
  return compared(filtered(one)) == compared(filtered(other));
}

void OutputOracle::judge(RunOutcome& outcome) {
  if (outcome.verdict != Verdict::same) return;
  if (!commands_.command.empty()) {
    const int exit_status =
        WIFSIGNALED(outcome.status) ? 128 + WTERMSIG(outcome.status) : WEXITSTATUS(outcome.status);
    const Ended ended = run(commands_.command, outcome.output + outcome.error, exit_status);
    if (ended.status == 0) return;
    outcome.verdict = Verdict::failed;
    outcome.reason = "the oracle ended with " + ending(ended.status);
    return;
  }
  if (outcome.status != status_) {
    outcome.verdict = Verdict::failed;
    outcome.reason = "the program ended with " + ending(outcome.status);
    if (const auto go = go_failure(outcome.error); !go.empty()) outcome.reason += ": " + go;
    return;
  }
  if (alike(outcome.output, output_) && alike(outcome.error, error_)) return;
  outcome.verdict = Verdict::changed;
  outcome.reason = "the output differs";
}

}  // namespace heddle
