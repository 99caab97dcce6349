// Rows for a person or for a program.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "trace_format/catalog/database.h"

namespace heddle::cli {

enum class RowFormat : uint8_t {
  table,  // aligned columns under their names; control characters as \xNN; NULL is nothing
  json,   // an array of one object a row; blobs as hexadecimal text; bytes that are not UTF-8 as
          // U+FFFD; of columns with one name the last
  csv,    // RFC 4180, the names first; NULL is nothing
};

// For the table.
struct Table {
  struct Column {
    std::string name;
    bool right = false;  // numbers
  };
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
};
void print(const Table& table, std::FILE* out);

// All rows of a statement. Throws CatalogError where it fails.
void print_rows(Statement& statement, RowFormat format, std::FILE* out);

}  // namespace heddle::cli
