#include <unistd.h>

#include <cstdio>

#include "cli/catalog_location.h"
#include "cli/imported_trace.h"
#include "cli/trace_location.h"
#include "cli/verbs.h"
#include "trace_format/archive.h"

namespace heddle::cli {
namespace {

namespace fs = std::filesystem;

int pack_trace(const std::string& name, const fs::path& file) {
  const auto trace = find_trace(name);
  pack(trace, file);
  std::fprintf(stderr, "heddle: packed %s into %s: %llu bytes\n", trace.c_str(), file.c_str(),
               static_cast<unsigned long long>(fs::file_size(file)));
  return 0;
}

fs::path shared_files() {
  try {
    return trace_store() / ".files";
  } catch (const std::exception&) {
    return {};  // no store: the trace has copies of its own
  }
}

// A trace of the store, named after its id in the catalog, or after a free number where there is no
// catalog that can be used.
fs::path enter_into_store(const fs::path& unpacked, const fs::path& store) {
  const auto place = [&](int64_t number) {
    fs::path directory = store / ("t" + std::to_string(number));
    fs::rename(unpacked, directory);
    return directory;
  };
  try {
    Catalog catalog(catalog_path(), Database::Mode::read_write);
    const auto id = import_trace(catalog, unpacked, next_number(store, 't'));
    auto directory = place(id);
    catalog.set_path(id, directory);
    return directory;
  } catch (const CatalogError& error) {
    std::fprintf(stderr, "heddle: warning: %s; the trace is not in the catalog\n", error.what());
    return place(next_number(store, 't'));
  }
}

int unpack_trace(const fs::path& file, const fs::path& directory) {
  fs::path made = directory;
  if (directory.empty()) {
    const auto store = trace_store();
    const fs::path passing = store / (".unpacking." + std::to_string(getpid()));
    unpack(file, passing, shared_files());
    made = enter_into_store(passing, store);
    point_latest(store, made);
  } else {
    unpack(file, directory, shared_files());
  }
  std::fprintf(stderr, "heddle: unpacked %s\n", made.c_str());
  return 0;
}

}  // namespace

void add_pack(CLI::App& app, int& status) {
  struct Options {
    std::string trace, file;
  };
  auto options = std::make_shared<Options>();
  auto* verb =
      app.add_subcommand("pack", "Make one file of a trace and all the files that it needs");
  verb->add_option("trace", options->trace, "A path, an id (t1, f1, ...) or latest")->required();
  verb->add_option("file", options->file, "The file to make (tar in zstd)")->required();
  verb->callback([options, &status] {
    status = or_one_line(2, [&] { return pack_trace(options->trace, options->file); });
  });
}

void add_unpack(CLI::App& app, int& status) {
  struct Options {
    std::string file, directory;
  };
  auto options = std::make_shared<Options>();
  auto* verb = app.add_subcommand("unpack", "Install a trace that pack made a file of");
  verb->add_option("file", options->file, "The file")->required();
  verb->add_option("directory", options->directory,
                   "Where to (new or empty); the default is a new trace of the store");
  verb->callback([options, &status] {
    status = or_one_line(2, [&] { return unpack_trace(options->file, options->directory); });
  });
}

}  // namespace heddle::cli
