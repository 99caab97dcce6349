"""put_rows.py FILE: puts the rows of the Markdown table on standard input into the table of FILE that
is between the lines "<!-- real_programs -->" and "<!-- end -->"; rows of the same name are replaced,
others kept."""
import sys

path = sys.argv[1]
with open(path) as file:
    before, _, rest = file.read().partition("<!-- real_programs -->\n")
    table, end, after = rest.partition("<!-- end -->\n")
if not end:
    sys.exit(f"{path} has no lines <!-- real_programs --> and <!-- end -->")
rows = {}
for line in table.splitlines() + sys.stdin.read().splitlines():
    rows[line.split("|")[1].strip()] = line
with open(path, "w") as file:
    file.write(before + "<!-- real_programs -->\n" + "".join(f"{row}\n" for row in rows.values()) +
               end + after)
