#include "trace_format/catalog/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace heddle {
namespace {

constexpr int kBusyMilliseconds = 30'000;

// Every directory that is missing, for the user alone (the XDG Base Directory Specification asks
// for 0700).
void make_directories(const std::filesystem::path& directory) {
  if (directory.empty() || std::filesystem::exists(directory)) return;
  make_directories(directory.parent_path());
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    throw CatalogError("creating the catalog's directory " + directory.string() + ": " +
                       std::strerror(errno));
}

// The name that makes SQLite take a file as one that nobody changes (sqlite.org/uri.html): the only
// way to read a write-ahead-log database where neither log nor index can be made.
std::string immutable_name(const std::string& path) {
  std::string name = "file:";
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      constexpr char kDigits[] = "0123456789abcdef";
      name += {'%', kDigits[c >> 4], kDigits[c & 15]};
    } else {
      name += c;
    }
  }
  return name + "?immutable=1";
}

// What sqlite3_stmt_readonly() does not count as a change.
int refuse_settings(void*, int action, const char* first, const char* second, const char*,
                    const char*) {
  switch (action) {
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      return SQLITE_DENY;
    case SQLITE_PRAGMA: {
      const std::string name = first;
      const bool describes = name == "table_info" || name == "table_list" || name == "index_list" ||
                             name == "foreign_key_list" ||
                             (name == "user_version" && second == nullptr);
      return describes ? SQLITE_OK : SQLITE_DENY;
    }
    default:
      return SQLITE_OK;
  }
}

}  // namespace

Database::Database(const std::filesystem::path& file, Mode mode) : path_(file.string()) {
  if (mode == Mode::read_only) {
    if (access(path_.c_str(), F_OK) != 0)
      throw CatalogError(path_ + ": no catalog there (" + std::strerror(errno) +
                         "); heddle record makes one");
    open(SQLITE_OPEN_READONLY, path_);
    // The first read finds out whether the log can be shared.
    const int code =
        sqlite3_exec(handle(), "SELECT count(*) FROM sqlite_schema", nullptr, nullptr, nullptr);
    if (code == SQLITE_CANTOPEN || code == SQLITE_READONLY) {
      open(SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, immutable_name(path_));
    }
    return;
  }
  make_directories(file.parent_path());
  const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) throw CatalogError(path_ + ": opening the catalog: " + std::strerror(errno));
  close(fd);
  open(SQLITE_OPEN_READWRITE, path_);
  use_write_ahead_log();
  run("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
}

void Database::Close::operator()(sqlite3* handle) const {
  sqlite3_close(handle);
}

void Database::open(int flags, const std::string& name) {
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(name.c_str(), &opened, flags, nullptr);
  handle_.reset(opened);  // there is one even where it failed, to say why
  if (!opened) throw CatalogError(path_ + ": opening the catalog: out of memory");
  if (code != SQLITE_OK) fail("opening the catalog");
  sqlite3_busy_timeout(opened, kBusyMilliseconds);
}

// Readers then never wait for writers. SQLite does not wait by itself while two processes change
// the mode of a new file at once. A file system without shared memory keeps the old mode, which
// works too.
void Database::use_write_ahead_log() {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(kBusyMilliseconds);
  while (true) {
    const int code = sqlite3_exec(handle(), "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
    if (code == SQLITE_OK) return;
    if (code != SQLITE_BUSY || std::chrono::steady_clock::now() > until)
      fail("opening the catalog");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void Database::run(const std::string& sql) {
  if (sqlite3_exec(handle(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    fail("the catalog");
}

int64_t Database::last_id() const {
  return sqlite3_last_insert_rowid(handle());
}

void Database::refuse_all_but_reading() {
  only_reads_ = true;
  sqlite3_set_authorizer(handle(), refuse_settings, nullptr);
}

void Database::fail(const std::string& doing) const {
  throw CatalogError(path_ + ": " + doing + ": " + sqlite3_errmsg(handle()));
}

Statement::Statement(Database& database, std::string_view sql) : database_(database) {
  constexpr auto kRefused = "only SELECT is allowed here: a query does not change the catalog";
  const char* rest = nullptr;
  if (sqlite3_prepare_v2(database.handle(), sql.data(), static_cast<int>(sql.size()), &handle_,
                         &rest) != SQLITE_OK) {
    const int code = sqlite3_errcode(database.handle());
    if (code == SQLITE_AUTH) throw CatalogError(kRefused);
    if (code != SQLITE_ERROR) database.fail("reading the catalog");
    throw CatalogError(sqlite3_errmsg(database.handle()));  // about the text, not the file
  }
  if (!handle_) throw CatalogError("there is no statement in the query");
  if (database.only_reads() && !sqlite3_stmt_readonly(handle_)) {
    sqlite3_finalize(handle_);
    throw CatalogError(kRefused);
  }
  sqlite3_stmt* another = nullptr;
  const auto left = static_cast<int>(sql.data() + sql.size() - rest);
  const int code = sqlite3_prepare_v2(database.handle(), rest, left, &another, nullptr);
  if (code != SQLITE_OK || another) {
    sqlite3_finalize(another);
    sqlite3_finalize(handle_);
    throw CatalogError("one statement at a time: something follows the first");
  }
}

Statement::~Statement() {
  sqlite3_finalize(handle_);
}

Statement& Statement::bind(int parameter, int64_t value) {
  if (sqlite3_bind_int64(handle_, parameter, value) != SQLITE_OK) database_.fail("a parameter");
  return *this;
}

Statement& Statement::bind(int parameter, std::string_view text) {
  if (sqlite3_bind_text(handle_, parameter, text.data(), static_cast<int>(text.size()),
                        SQLITE_STATIC) != SQLITE_OK)
    database_.fail("a parameter");
  return *this;
}

Statement& Statement::bind_or_null(int parameter, std::optional<int64_t> value) {
  if (value) return bind(parameter, *value);
  if (sqlite3_bind_null(handle_, parameter) != SQLITE_OK) database_.fail("a parameter");
  return *this;
}

Statement& Statement::bind_or_null(int parameter, const std::optional<std::string>& text) {
  if (text) return bind(parameter, *text);
  return bind_or_null(parameter, std::optional<int64_t>());
}

bool Statement::step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) database_.fail("the catalog");
  return false;
}

void Statement::execute() {
  step();
  reset();
}

void Statement::reset() {
  sqlite3_reset(handle_);
}

int Statement::columns() const {
  return sqlite3_column_count(handle_);
}

std::string Statement::name(int column) const {
  return sqlite3_column_name(handle_, column);
}

Statement::Type Statement::type(int column) const {
  switch (sqlite3_column_type(handle_, column)) {
    case SQLITE_INTEGER:
      return Type::integer;
    case SQLITE_FLOAT:
      return Type::real;
    case SQLITE_TEXT:
      return Type::text;
    case SQLITE_BLOB:
      return Type::blob;
    default:
      return Type::null;
  }
}

int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_, column);
}

double Statement::real(int column) const {
  return sqlite3_column_double(handle_, column);
}

std::string Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(handle_, column);
  const auto size = static_cast<size_t>(sqlite3_column_bytes(handle_, column));
  return bytes ? std::string(static_cast<const char*>(bytes), size) : std::string();
}

std::optional<int64_t> Statement::integer_if(int column) const {
  if (type(column) == Type::null) return std::nullopt;
  return integer(column);
}

std::optional<std::string> Statement::text_if(int column) const {
  if (type(column) == Type::null) return std::nullopt;
  return text(column);
}

Transaction::Transaction(Database& database) : database_(database) {
  database.run("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (open_) sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.run("COMMIT");
  open_ = false;
}

}  // namespace heddle
