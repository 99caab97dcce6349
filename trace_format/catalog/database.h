// SQLite, as much of it as the catalog needs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace heddle {

// The catalog cannot be opened, read or written. The text names the file and the cause.
class CatalogError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A connection. For one thread; processes and threads may each open their own on the same file.
class Database {
 public:
  enum class Mode : uint8_t {
    read_write,  // makes the file (mode 0600) and its directory (mode 0700) where they are missing
    read_only,   // the file must exist; nothing in its directory need be writable
  };

  // Throws CatalogError. A writer waits up to half a minute for other writers.
  Database(const std::filesystem::path& file, Mode mode);
  ~Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Statements without parameters or results, separated by semicolons.
  void run(const std::string& sql);
  int64_t last_id() const;

  // From here on the connection reads and nothing else: what a statement would change, attach or
  // set is refused when it is prepared.
  void refuse_all_but_reading();
  bool only_reads() const { return only_reads_; }

  const std::string& path() const { return path_; }
  sqlite3* handle() const { return handle_.get(); }
  [[noreturn]] void fail(const std::string& doing) const;

 private:
  void open(int flags, const std::string& name);
  void use_write_ahead_log();

  std::string path_;
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::unique_ptr<sqlite3, Close> handle_;
  bool only_reads_ = false;
};

// One prepared statement. Parameters are numbered from 1, columns from 0, as SQLite has it.
class Statement {
 public:
  // `sql` must be exactly one statement. Throws CatalogError, here and wherever SQLite refuses.
  Statement(Database& database, std::string_view sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int parameter, int64_t value);
  // Not copied: `text` must live until the statement was stepped.
  Statement& bind(int parameter, std::string_view text);
  Statement& bind_or_null(int parameter, std::optional<int64_t> value);
  Statement& bind_or_null(int parameter, const std::optional<std::string>& text);

  // True where there is a row; false at the end.
  bool step();
  // For a statement without rows; ready to be bound anew afterwards.
  void execute();
  void reset();

  int columns() const;
  std::string name(int column) const;
  enum class Type : uint8_t { integer, real, text, blob, null };
  Type type(int column) const;
  int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;  // of a blob: its bytes
  std::optional<int64_t> integer_if(int column) const;
  std::optional<std::string> text_if(int column) const;

 private:
  Database& database_;
  sqlite3_stmt* handle_ = nullptr;
};

// Begins with the right to write; undone unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace heddle
