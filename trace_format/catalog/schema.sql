-- What a catalog holds. Version 1; a later version is a further step in migrations.cpp.
-- Times are milliseconds since 1970 (UTC); addresses are guest addresses as SQLite's signed 64-bit
-- integers: printf('%x', pc) shows them.

CREATE TABLE traces(
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- shown as t1, t2, ...; never used twice
  path TEXT NOT NULL,                    -- absolute, of the trace's directory
  recorded_at INTEGER NOT NULL,
  command TEXT NOT NULL,                 -- as a shell would take it
  exit_code INTEGER,                     -- NULL: ended by a signal, or not seen to end
  signal INTEGER,                        -- that ended it
  events INTEGER,                        -- NULL, like the next two: not seen to end
  bytes INTEGER,                         -- of the events file
  ticks INTEGER,                         -- of all tasks together
  tainted TEXT,                          -- why a replay may differ; NULL: it may not
  parent INTEGER REFERENCES traces(id) ON DELETE SET NULL
);
CREATE INDEX traces_by_path ON traces(path);

-- An invocation of record, replay, races or explore.
CREATE TABLE runs(
  id INTEGER PRIMARY KEY,
  verb TEXT NOT NULL,
  trace INTEGER REFERENCES traces(id) ON DELETE SET NULL,
  finding INTEGER REFERENCES findings(id) ON DELETE SET NULL,  -- whose trace was replayed
  seed INTEGER,
  started INTEGER NOT NULL,
  duration INTEGER,                      -- milliseconds; NULL: under way, or killed
  outcome TEXT                           -- "ended", "diverged", "found", ...; NULL likewise
);

-- What an exploring run tried.
CREATE TABLE schedules(
  run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,               -- from 1, in the order of the run
  text TEXT NOT NULL,                    -- heddle explore --schedule takes it
  verdict TEXT NOT NULL,
  reason TEXT NOT NULL,                  -- empty: the verdict says it all
  steps INTEGER NOT NULL,
  PRIMARY KEY(run, number)
) WITHOUT ROWID;

-- Call stacks, each once.
CREATE TABLE stacks(
  id INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE              -- its frames, one a line: what makes it the same stack
);
CREATE TABLE frames(
  stack INTEGER NOT NULL REFERENCES stacks(id) ON DELETE CASCADE,
  depth INTEGER NOT NULL,                -- from 0, the innermost
  pc INTEGER NOT NULL,
  function TEXT NOT NULL,                -- empty, like the next three (line: 0): not known
  file TEXT NOT NULL,
  line INTEGER NOT NULL,
  module TEXT NOT NULL,                  -- the mapped file
  PRIMARY KEY(stack, depth)
) WITHOUT ROWID;

-- The two sides of each race.
CREATE TABLE accesses(
  id INTEGER PRIMARY KEY,
  function TEXT NOT NULL,                -- of the site: the innermost frame
  file TEXT NOT NULL,
  line INTEGER NOT NULL,
  pc INTEGER NOT NULL,
  kind TEXT NOT NULL,                    -- read, write, update, locked
  size INTEGER NOT NULL,                 -- bytes
  address INTEGER NOT NULL,
  task INTEGER NOT NULL,
  place TEXT NOT NULL,                   -- TASK@TICKS:PC, as in a schedule
  stack INTEGER REFERENCES stacks(id)    -- NULL: not known
);
CREATE TABLE races(
  id INTEGER PRIMARY KEY,
  trace INTEGER NOT NULL REFERENCES traces(id) ON DELETE CASCADE,
  fingerprint TEXT NOT NULL,             -- of the two sites: the same race of the same trace is one
  first_access INTEGER NOT NULL REFERENCES accesses(id),
  second_access INTEGER NOT NULL REFERENCES accesses(id),
  count INTEGER NOT NULL,                -- pairs of accesses seen at these sites, at least
  UNIQUE(trace, fingerprint)
);

CREATE TABLE findings(
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- shown as f1, f2, ...; never used twice
  trace INTEGER REFERENCES traces(id) ON DELETE SET NULL,  -- the recording it was found from
  path TEXT NOT NULL,                    -- of its own trace
  program TEXT NOT NULL,                 -- the executable's file name
  fingerprint TEXT NOT NULL,             -- with the program: what makes it the same, seen again
  verdict TEXT NOT NULL,
  schedule TEXT NOT NULL,
  seed INTEGER NOT NULL,
  found_after INTEGER NOT NULL,          -- schedules, this one included
  minimised_from INTEGER NOT NULL,       -- steps
  kind TEXT NOT NULL,                    -- data race, deadlock, crash, ...
  title TEXT NOT NULL,                   -- a line; the whole report is in finding.json at path
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  count INTEGER NOT NULL,                -- times seen
  UNIQUE(program, fingerprint)
);

-- Who did what in a finding's run: the accesses of a race, the tasks of a deadlock.
CREATE TABLE sides(
  finding INTEGER NOT NULL REFERENCES findings(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,               -- from 1
  who TEXT NOT NULL,                     -- "thread 2", "goroutine 18"
  what TEXT NOT NULL,                    -- "write of 4 bytes"
  place TEXT NOT NULL,                   -- TASK@TICKS:PC
  address INTEGER NOT NULL,              -- 0: none
  variable TEXT NOT NULL,                -- empty: not known
  stack INTEGER REFERENCES stacks(id),   -- NULL: not known
  PRIMARY KEY(finding, number)
) WITHOUT ROWID;

-- The named queries of heddle query: NAME shows NAME_view.
CREATE VIEW traces_view AS
SELECT 't' || id AS trace,
       strftime('%Y-%m-%dT%H:%M:%SZ', recorded_at / 1000, 'unixepoch') AS recorded,
       CASE WHEN signal IS NOT NULL THEN 'signal ' || signal
            WHEN exit_code IS NOT NULL THEN 'exit ' || exit_code
            ELSE 'unfinished' END AS ended,
       events, bytes, ticks, tainted, command, path
FROM traces ORDER BY id DESC;

CREATE VIEW findings_view AS
SELECT 'f' || findings.id AS finding,
       't' || findings.trace AS trace,
       program,       verdict, title, count,
       strftime('%Y-%m-%dT%H:%M:%SZ', last_seen / 1000, 'unixepoch') AS last_seen,
       seed, found_after, schedule
FROM findings ORDER BY findings.last_seen DESC, findings.id DESC;

CREATE VIEW races_view AS
SELECT 't' || races.trace AS trace,
       a.kind AS first_kind, a.function AS first_function, a.file || ':' || a.line AS first_line,
       b.kind AS second_kind, b.function AS second_function, b.file || ':' || b.line AS second_line,
       printf('0x%x', a.address) AS address, races.count
FROM races JOIN accesses a ON a.id = races.first_access
           JOIN accesses b ON b.id = races.second_access
ORDER BY races.trace DESC, races.id;
