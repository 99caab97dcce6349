#include "cli/rows.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "explorer/report/style.h"

namespace heddle::cli {
namespace {

// Columns of a terminal, one a code point.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string hexadecimal(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return text;
}

std::string shortest(double number) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  return {text, end};
}

std::string text_of(const Statement& row, int column) {
  switch (row.type(column)) {
    case Statement::Type::null:
      return {};
    case Statement::Type::real:
      return shortest(row.real(column));
    case Statement::Type::blob:
      return hexadecimal(row.text(column));
    default:
      return row.text(column);
  }
}

nlohmann::ordered_json json_of(const Statement& row, int column) {
  switch (row.type(column)) {
    case Statement::Type::null:
      return nullptr;
    case Statement::Type::integer:
      return row.integer(column);
    case Statement::Type::real:
      return row.real(column);
    default:
      return text_of(row, column);
  }
}

void print_table(Statement& statement, std::FILE* out) {
  Table table;
  for (int i = 0; i < statement.columns(); ++i) table.columns.push_back({statement.name(i), true});
  while (statement.step()) {
    auto& row = table.rows.emplace_back();
    for (int i = 0; i < statement.columns(); ++i) {
      row.push_back(text_of(statement, i));
      const auto type = statement.type(i);
      if (type == Statement::Type::text || type == Statement::Type::blob)
        table.columns[static_cast<size_t>(i)].right = false;
    }
  }
  print(table, out);
}

void print_json(Statement& statement, std::FILE* out) {
  const char* before = "[\n ";
  while (statement.step()) {
    auto object = nlohmann::ordered_json::object();
    for (int i = 0; i < statement.columns(); ++i) object[statement.name(i)] = json_of(statement, i);
    const auto text = object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    std::fprintf(out, "%s%s", before, text.c_str());
    before = ",\n ";
  }
  std::fputs(*before == '[' ? "[]\n" : "\n]\n", out);
}

void print_csv(Statement& statement, std::FILE* out) {
  const auto field = [&](int column, std::string text) {
    if (text.find_first_of(",\"\r\n") != text.npos) {
      for (size_t at = 0; (at = text.find('"', at)) != text.npos; at += 2) text.insert(at, 1, '"');
      text = '"' + text + '"';
    }
    std::fprintf(out, "%s%s", column == 0 ? "" : ",", text.c_str());
  };
  for (int i = 0; i < statement.columns(); ++i) field(i, statement.name(i));
  std::fputs("\r\n", out);
  while (statement.step()) {
    for (int i = 0; i < statement.columns(); ++i) field(i, text_of(statement, i));
    std::fputs("\r\n", out);
  }
}

}  // namespace

void print(const Table& table, std::FILE* out) {
  std::vector<size_t> widths;
  for (const auto& column : table.columns) widths.push_back(width(report::printable(column.name)));
  for (const auto& row : table.rows)
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], width(report::printable(row[i])));
  const auto line = [&](const auto& cell) {
    std::string text;
    for (size_t i = 0; i < table.columns.size(); ++i) {
      const std::string content = report::printable(cell(i));
      const std::string space(widths[i] - width(content), ' ');
      if (i != 0) text += "  ";
      text += table.columns[i].right ? space + content : content + space;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    std::fprintf(out, "%s\n", text.c_str());
  };
  line([&](size_t i) { return table.columns[i].name; });
  for (const auto& row : table.rows) line([&](size_t i) { return row[i]; });
}

void print_rows(Statement& statement, RowFormat format, std::FILE* out) {
  switch (format) {
    case RowFormat::table:
      print_table(statement, out);
      break;
    case RowFormat::json:
      print_json(statement, out);
      break;
    case RowFormat::csv:
      print_csv(statement, out);
      break;
  }
}

}  // namespace heddle::cli
