#include <array>
#include <cstdio>
#include <stdexcept>

#include "cli/catalog_location.h"
#include "cli/rows.h"
#include "cli/verbs.h"

namespace heddle::cli {
namespace {

struct Options {
  std::string query;
  bool json = false;
  bool csv = false;
};

constexpr std::array<const char*, 3> kNamed = {"traces", "findings", "races"};

int query(const Options& options) {
  const auto catalog = open_catalog_to_read();
  if (!catalog)
    throw CatalogError(catalog_path().string() + ": no catalog yet; heddle record makes one");
  std::string sql = options.query;
  for (const char* name : kNamed)
    if (sql == name) sql = std::string("SELECT * FROM ").append(name).append("_view");
  catalog->database().refuse_all_but_reading();
  Statement statement(catalog->database(), sql);
  print_rows(statement,
             options.json  ? RowFormat::json
             : options.csv ? RowFormat::csv
                           : RowFormat::table,
             stdout);
  if (std::fflush(stdout) != 0) throw std::runtime_error("the rows cannot be written");
  return 0;
}

}  // namespace

void add_query(CLI::App& app, int& status) {
  auto options = std::make_shared<Options>();
  auto* verb = app.add_subcommand("query", "Ask the catalog, in SQL");
  verb->add_option("query", options->query,
                   "A SELECT over the catalog's tables, or: traces, findings, races")
      ->required();
  auto* json = verb->add_flag("--json", options->json, "An array of objects");
  verb->add_flag("--csv", options->csv, "Comma-separated values (RFC 4180)")->excludes(json);
  verb->callback([options, &status] { status = or_one_line(2, [&] { return query(*options); }); });
}

}  // namespace heddle::cli
