"""Runs queries within a memory limit, and reads the peak of each process from the system.

usage: memory.py CXQL [--contacts N | --data DIR] [--limits SIZE ...] [--only PART ...]

windows: 20 million rows within 1 GB. Each of 2 million customers has ten contacts, a day apart in numbers: contact n is of
customer n % 2,000,000. What comes out follows by arithmetic.

groups: aggregates that keep values of each of 2 million groups, within 500 MB: a query has its answer, or ends with the error
of the limit, and the process takes at most a tenth more than the limit.

reports: every shipped report over N contacts of `cxql demo` (1 million) within each limit (2GB and 500MB). With ten million:

    python tests/e2e/memory.py target/release/cxql --contacts 10000000 --limits 2GB --only reports
"""

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import time

SQL = pathlib.Path(__file__).resolve().parents[2] / "sql"
MIB = 1 << 20
UNITS = {"MB": MIB, "GB": 1 << 30}
# what a process may take beyond its limit
BEYOND = 1.1
ROWS, CUSTOMERS = 20_000_000, 2_000_000
WINDOWS = f"""
with contacts as (
    select value as at, concat('customer number ', value % {CUSTOMERS}) as customer_id
    from generate_series(0, {ROWS - 1})
),
steps as (
    select
        at,
        lag(at) over (partition by customer_id order by at) as previous_at,
        lead(at) over (partition by customer_id order by at) as next_at,
        row_number() over (partition by customer_id order by at) as contact_number,
        count(*) over (partition by customer_id) as contact_count
    from contacts
)
select count(*), count(previous_at), sum(at - previous_at), count(next_at), sum(next_at - at), sum(contact_number), min(contact_count),
    max(contact_count)
from steps
"""
REPEATS = ROWS - CUSTOMERS
WINDOW_ROW = [ROWS, REPEATS, REPEATS * CUSTOMERS, REPEATS, REPEATS * CUSTOMERS, CUSTOMERS * 55, 10, 10]

# 3 rows for each of 2 million groups: row n is of group n % 2,000,000; `topic` is n % 13, `name` is unique
GROUPED_ROWS, GROUPS = 6_000_000, 2_000_000
GROUPED = f"""
select {{outer}} from (
    select value % {GROUPS} as g, count(*) as n, {{inner}} as x
    from (
        select value, concat('topic ', value % 13) as topic, concat('the name of row ', value) as name
        from generate_series(0, {GROUPED_ROWS - 1})
    )
    group by 1
)
"""
# 2,000,000 % 13 is 6, so that the topics of a group's three rows differ
AGGREGATES = {
    "count(distinct topic)": ("sum(x)", GROUPED_ROWS),
    "count(distinct name) filter (where value % 2 = 0)": ("sum(x)", GROUPED_ROWS // 2),
    "sum(distinct value % 13)": ("count(x)", GROUPS),
    "array_agg(name)": ("sum(array_length(x))", GROUPED_ROWS),
    "array_agg(distinct topic)": ("sum(array_length(x))", GROUPED_ROWS),
    "string_agg(topic, ',')": ("sum(array_length(string_to_array(x, ',')))", GROUPED_ROWS),
    "string_agg(topic, ',' order by value)": ("count(x)", GROUPS),
    "median(value)": ("count(x)", GROUPS),
    "percentile_cont(0.5) within group (order by value)": ("count(x)", GROUPS),
    "percentile_disc(0.5) within group (order by value)": ("count(x)", GROUPS),
    "approx_distinct(name)": ("count(x)", GROUPS),
}
# one group, or none, with many values; and operators that keep their input
WHOLE = {
    "select count(distinct concat('the name of row ', value)) from generate_series(0, 2999999)": 3_000_000,
    "select length(string_agg(concat('row ', value % 10), ',')) from generate_series(0, 9999999)": 59_999_999,
    "select count(*) from (select sum(value) over () as total, value from generate_series(0, 19999999)) where total > value": 20_000_000,
    "select count(*) from generate_series(0, 9999999) as a inner join generate_series(0, 9999999) as b on a.value = b.value": 10_000_000,
}
OUT_OF_MEMORY = "memory"


def spilled_bytes(folder):
    """Bytes below a folder whose files come and go."""
    total = 0
    for parent, _, names in os.walk(folder):  # it passes over folders that are gone
        for name in names:
            try:
                total += os.path.getsize(os.path.join(parent, name))
            except FileNotFoundError:
                pass
    return total


class Run:
    """One process: its exit code, peak memory, seconds, bytes seen on disk, standard error and first row."""

    def __init__(self, command, memory, folder, form="csv"):
        out, err, spill = folder / "answer.csv", folder / "errors", folder / "spill"
        spill.mkdir(exist_ok=True)
        out.unlink(missing_ok=True)
        command = [*command, "--memory", memory, "--temp-dir", str(spill), "-f", form, "-o", str(out)]
        started, self.spilled = time.monotonic(), 0
        with err.open("w") as errors:
            actions = [(os.POSIX_SPAWN_DUP2, errors.fileno(), 2)]
            pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
            while not (ended := os.wait4(pid, os.WNOHANG))[0]:
                self.spilled = max(self.spilled, spilled_bytes(spill))
                time.sleep(0.05)
        _, status, usage = ended
        self.seconds = time.monotonic() - started
        self.code, self.peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024
        self.error = err.read_text()
        self.row = list(csv.reader(out.open()))[1] if self.code == 0 and form == "csv" else None
        self.left = list(spill.iterdir())


class Checks:
    def __init__(self):
        self.are_ok = True

    def __call__(self, what, holds):
        print(f"{'ok   ' if holds else 'FAIL '} {what}", flush=True)
        self.are_ok &= bool(holds)


def size(text):
    return int(text[:-2]) * UNITS[text[-2:].upper()]


def windows(cxql, folder, check, options):
    run = Run([cxql, "query", WINDOWS], "1GB", folder)
    row = run.row and [int(float(value)) for value in run.row]
    check(f"windows: exit code 0, got {run.code}", run.code == 0)
    check(f"windows: the row {WINDOW_ROW}, got {row}", row == WINDOW_ROW)
    check(f"windows: peak {run.peak / MIB:.0f} MiB within 1024", run.peak <= 1024 * MIB)
    check(f"windows: {run.spilled / MIB:.0f} MiB seen on disk", run.spilled > 0)
    check(f"windows: nothing left on disk, got {run.left}", not run.left)


def groups(cxql, folder, check, options):
    queries = {call: (GROUPED.format(outer=outer, inner=call), expected) for call, (outer, expected) in AGGREGATES.items()}
    queries |= {sql: (sql, expected) for sql, expected in WHOLE.items()}
    for name, (sql, expected) in queries.items():
        run = Run([cxql, "query", sql], "500MB", folder)
        is_right = run.row is not None and int(float(run.row[0])) == expected
        is_refused = run.code == 1 and OUT_OF_MEMORY in run.error
        what = "the answer" if is_right else "the error of the limit" if is_refused else f"{run.row} {run.error.strip()[-300:]}"
        is_within = run.peak <= 500 * MIB * BEYOND
        spilled = f", {run.spilled / MIB:.0f} on disk" if run.spilled else ""
        check(f"{name[:60]}: {what}, {run.peak / MIB:.0f} MiB{spilled}, {run.seconds:.1f} s",
              (is_right or is_refused) and is_within)


def reports(cxql, folder, check, options):
    data = options.data or folder / "demo"
    if not options.data:
        command = [cxql, "demo", str(data), "--contacts", str(options.contacts)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    names = sorted(file.stem for file in SQL.glob("*/*.sql") if file.parent.name != "views")
    check(f"{len(names)} reports", len(names) >= 31)
    for limit in options.limits:
        most, name_of_most = 0, None
        for name in names:
            run = Run([cxql, "run", name, "--data", str(data)], limit, folder, "json")
            if run.peak > most:
                most, name_of_most = run.peak, name
            if run.code != 0 or run.peak > size(limit) * BEYOND:
                check(f"{name} within {limit}: exit code {run.code}, {run.peak / MIB:.0f} MiB {run.error.strip()[-300:]}", False)
        check(f"reports within {limit}: at most {most / MIB:.0f} MiB, {name_of_most}", most <= size(limit) * BEYOND)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cxql")
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--data", help="a folder that `cxql demo` has written, in place of --contacts")
    parser.add_argument("--limits", nargs="+", default=["2GB", "500MB"])
    parser.add_argument("--only", nargs="+", choices=("windows", "groups", "reports"))
    options = parser.parse_args()
    check = Checks()
    for part in (windows, groups, reports):
        if not options.only or part.__name__ in options.only:
            with tempfile.TemporaryDirectory() as name:
                part(str(pathlib.Path(options.cxql).resolve()), pathlib.Path(name), check, options)
    sys.exit(0 if check.are_ok else 1)


if __name__ == "__main__":
    main()
