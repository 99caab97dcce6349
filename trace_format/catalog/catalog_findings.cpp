// What analysis and exploration add: stacks, races and findings.
#include <algorithm>

#include "trace_format/catalog/catalog.h"
#include "trace_format/schedule.h"

namespace heddle {
namespace {

constexpr std::string_view kFindingColumns =
    "SELECT id, trace, path, verdict, title, first_seen, last_seen, count FROM findings ";

std::string query(std::string_view columns, std::string_view rest) {
  return std::string(columns).append(rest);
}

int64_t signed_of(uint64_t number) {
  return static_cast<int64_t>(number);
}

FindingRow finding_row(const Statement& s) {
  return {s.integer(0), s.integer_if(1), s.text(2),    s.text(3),
          s.text(4),    s.integer(5),    s.integer(6), s.integer(7)};
}

// "function file:line" or, where there is no name, the address: the same code in every run.
std::string site_of(const RacingAccess& access) {
  if (access.stack.empty() || access.stack.front().function.empty())
    return access.kind + " " + std::to_string(access.place.pc);
  const auto& frame = access.stack.front();
  return access.kind + " " + std::to_string(frame.pc) + " " + frame.function + " " + frame.file +
         ":" + std::to_string(frame.line);
}

std::string place_text(const Place& place) {
  Schedule one;
  one.steps.push_back({place, 0, 0});
  const std::string text = one.text();
  return text.substr(0, text.find('>'));
}

}  // namespace

std::optional<int64_t> Catalog::add_stack(const std::vector<StackFrame>& stack) {
  if (stack.empty()) return std::nullopt;
  std::string text;
  for (const auto& frame : stack)
    text += std::to_string(frame.pc) + " " + frame.function + " " + frame.file + ":" +
            std::to_string(frame.line) + " " + frame.module + "\n";
  Statement find(database_, "SELECT id FROM stacks WHERE text = ?");
  if (find.bind(1, text).step()) return find.integer(0);
  Statement(database_, "INSERT INTO stacks(text) VALUES(?)").bind(1, text).execute();
  const int64_t id = database_.last_id();
  Statement insert(database_,
                   "INSERT INTO frames(stack, depth, pc, function, file, line, module) "
                   "VALUES(?,?,?,?,?,?,?)");
  int64_t depth = 0;
  for (const auto& frame : stack) {
    insert.bind(1, id).bind(2, depth++).bind(3, signed_of(frame.pc)).bind(4, frame.function);
    insert.bind(5, frame.file).bind(6, int64_t{frame.line}).bind(7, frame.module).execute();
  }
  return id;
}

int64_t Catalog::add_access(const RacingAccess& access) {
  const StackFrame site = access.stack.empty() ? StackFrame{} : access.stack.front();
  const auto stack = add_stack(access.stack);
  const std::string place = place_text(access.place);
  Statement insert(database_,
                   "INSERT INTO accesses(function, file, line, pc, kind, size, address, task, "
                   "place, stack) VALUES(?,?,?,?,?,?,?,?,?,?)");
  insert.bind(1, site.function).bind(2, site.file).bind(3, int64_t{site.line});
  insert.bind(4, signed_of(access.place.pc)).bind(5, access.kind).bind(6, int64_t{access.size});
  insert.bind(7, signed_of(access.address)).bind(8, int64_t{access.place.task}).bind(9, place);
  insert.bind_or_null(10, stack).execute();
  return database_.last_id();
}

RaceId Catalog::add_race(TraceId trace, const NewRace& race) {
  const std::string first = site_of(race.first), second = site_of(race.second);
  const std::string fingerprint = std::min(first, second) + "\n" + std::max(first, second);
  Transaction transaction(database_);
  Statement find(database_,
                 "SELECT id, first_access, second_access FROM races "
                 "WHERE trace = ? AND fingerprint = ?");
  std::optional<RaceId> known;
  std::pair<int64_t, int64_t> old;
  if (find.bind(1, trace).bind(2, fingerprint).step()) {
    known = find.integer(0);
    old = {find.integer(1), find.integer(2)};
  }
  find.reset();
  const int64_t a = add_access(race.first), b = add_access(race.second);
  Statement put(database_, known ? "UPDATE races SET trace = ?, fingerprint = ?, first_access = ?, "
                                   "second_access = ?, count = ? WHERE id = ?"
                                 : "INSERT INTO races(trace, fingerprint, first_access, "
                                   "second_access, count, id) VALUES(?,?,?,?,?,?)");
  put.bind(1, trace).bind(2, fingerprint).bind(3, a).bind(4, b).bind(5, signed_of(race.count));
  put.bind_or_null(6, known).execute();
  const RaceId id = known ? *known : database_.last_id();
  if (known)
    Statement(database_, "DELETE FROM accesses WHERE id IN (?, ?)")
        .bind(1, old.first)
        .bind(2, old.second)
        .execute();
  transaction.commit();
  return id;
}

FindingId Catalog::add_finding(const NewFinding& added, const StoreFinding& store,
                               FindingId least) {
  const Finding& f = added.finding;
  Transaction transaction(database_);
  Statement find(database_, "SELECT id, path FROM findings WHERE program = ? AND fingerprint = ?");
  std::optional<std::filesystem::path> known;
  FindingId id = 0;
  if (find.bind(1, added.program).bind(2, f.fingerprint).step()) {
    id = find.integer(0);
    known = find.text(1);
  } else {
    const auto now = unix_now();
    id = next_id("findings", least);
    Statement(database_,
              "INSERT INTO findings(id, path, program, fingerprint, verdict, schedule, seed, "
              "found_after, "
              "minimised_from, kind, title, first_seen, last_seen, count) "
              "VALUES(?,'',?,?,'','',0,0,0,'','',?,?,0)")
        .bind(1, id)
        .bind(2, added.program)
        .bind(3, f.fingerprint)
        .bind(4, now)
        .bind(5, now)
        .execute();
  }
  find.reset();
  const std::string path = catalog_path_text(store(id, known)), schedule = f.schedule.text();
  Statement update(database_,
                   "UPDATE findings SET trace = ?, path = ?, verdict = ?, schedule = ?, seed = ?, "
                   "found_after = ?, minimised_from = ?, kind = ?, title = ?, last_seen = ?, "
                   "count = count + 1 WHERE id = ?");
  update.bind_or_null(1, added.trace).bind(2, path).bind(3, f.verdict).bind(4, schedule);
  update.bind(5, signed_of(f.seed)).bind(6, signed_of(f.schedules_tried));
  update.bind(7, signed_of(f.found_steps)).bind(8, f.kind).bind(9, added.title);
  update.bind(10, unix_now()).bind(11, id).execute();
  set_sides(id, f.sides);
  transaction.commit();
  return id;
}

void Catalog::set_sides(FindingId id, const std::vector<FindingSide>& sides) {
  Statement(database_, "DELETE FROM sides WHERE finding = ?").bind(1, id).execute();
  Statement insert(database_,
                   "INSERT INTO sides(finding, number, who, what, place, address, variable, stack) "
                   "VALUES(?,?,?,?,?,?,?,?)");
  int64_t number = 0;
  for (const auto& side : sides) {
    const auto stack = add_stack(side.stack);
    const std::string place = place_text(side.place);
    insert.bind(1, id).bind(2, ++number).bind(3, side.who).bind(4, side.what).bind(5, place);
    insert.bind(6, signed_of(side.address)).bind(7, side.variable).bind_or_null(8, stack);
    insert.execute();
  }
}

void Catalog::remove_finding(FindingId id) {
  Statement(database_, "DELETE FROM findings WHERE id = ?").bind(1, id).execute();
}

std::optional<FindingRow> Catalog::find_finding(FindingId id) {
  Statement find(database_, query(kFindingColumns, "WHERE id = ?"));
  if (!find.bind(1, id).step()) return std::nullopt;
  return finding_row(find);
}

std::optional<FindingRow> Catalog::find_finding(const std::filesystem::path& path) {
  const std::string text = catalog_path_text(path);
  Statement find(database_, query(kFindingColumns, "WHERE path = ? ORDER BY id DESC LIMIT 1"));
  if (!find.bind(1, text).step()) return std::nullopt;
  return finding_row(find);
}

std::vector<FindingRow> Catalog::findings() {
  std::vector<FindingRow> rows;
  Statement find(database_, query(kFindingColumns, "ORDER BY last_seen DESC, id DESC"));
  while (find.step()) rows.push_back(finding_row(find));
  return rows;
}

}  // namespace heddle
