#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/doctor_checks.h"
#include "cli/verbs.h"
#include "explorer/report/style.h"

namespace heddle::cli {
namespace {

using report::Emphasis;
using report::printable;

void print_lines(const std::vector<CheckResult>& results) {
  const report::Style style(isatty(1));
  for (const auto& r : results) {
    std::printf("%s  %-12s %s",
                (r.works ? style(Emphasis::good, "ok  ") : style(Emphasis::bad, "FAIL")).c_str(),
                r.name.c_str(), printable(r.found).c_str());
    if (!r.works) std::printf("; to do: %s", printable(r.advice).c_str());
    std::printf("\n");
  }
}

void print_json(const std::vector<CheckResult>& results) {
  auto all = nlohmann::ordered_json::array();
  for (const auto& r : results) {
    nlohmann::ordered_json one = {{"name", r.name}, {"works", r.works}, {"found", r.found}};
    if (!r.works) one["to_do"] = r.advice;
    all.push_back(std::move(one));
  }
  std::printf("%s\n",
              all.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

}  // namespace

void add_doctor(CLI::App& app, int& status) {
  auto json = std::make_shared<bool>(false);
  auto* verb = app.add_subcommand("doctor", "Try what heddle needs of this machine");
  verb->add_flag("--json", *json, "An array of objects: name, works, found, to_do");
  verb->footer("Exit status: 0 all works, 1 something does not.");
  verb->callback([json, &status] {
    status = or_one_line(2, [&] {
      const auto results = check_machine();
      if (*json)
        print_json(results);
      else
        print_lines(results);
      return std::ranges::all_of(results, &CheckResult::works) ? 0 : 1;
    });
  });
}

}  // namespace heddle::cli
