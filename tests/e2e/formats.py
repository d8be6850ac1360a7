"""Reads what cxql writes with other programs, and compares figures with DuckDB.

usage: formats.py CXQL DATA

Each format of one query over the sample data is read back with pyarrow, openpyxl or the standard library and compared,
row by row, with what DuckDB answers to the same SQL over the same Parquet files.
"""

import csv
import datetime
import io
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import duckdb
import openpyxl
import pyarrow.feather
import pyarrow.parquet

from checks import Counts

QUERY = """
select topic, count(*) as contact_count, avg(wait_s) as wait_s, min(started_at) as first_at,
    max(case when is_resolved then 1 else 0 end) as is_resolved, min(text) as note
from interactions group by topic order by topic nulls first
"""

check = Counts()


def plain(value):
    """A value as every format can say it."""
    if isinstance(value, datetime.datetime):
        value = value.astimezone(datetime.timezone.utc) if value.tzinfo else value
        return value.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, float) and math.isfinite(value):
        return round(value, 9)
    return value


def from_text(rows):
    """Typed rows of a format that holds text only."""
    for row in rows:
        yield (
            row["topic"] or None,
            int(row["contact_count"]),
            round(float(row["wait_s"]), 9),
            row["first_at"].replace("T", " ").removesuffix("Z"),
            int(row["is_resolved"]),
            row["note"] or None,
        )


def main():
    cxql, data = sys.argv[1:3]

    def run(*arguments):
        done = subprocess.run([cxql, *arguments, "--data", data], capture_output=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{arguments}: {done.stderr.decode()}")
        return done.stdout

    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    folder = pathlib.Path(data) / "interactions" / "*.parquet"
    connection.execute(f"create view interactions as select * from read_parquet('{folder}')")
    wanted = [tuple(map(plain, row)) for row in connection.execute(QUERY).fetchall()]
    check("DuckDB answers", len(wanted) > 5)

    with tempfile.TemporaryDirectory() as temporary:
        out = pathlib.Path(temporary)
        for ending, delimiter in (("csv", ","), ("tsv", "\t")):
            rows = csv.DictReader(io.StringIO(run("query", QUERY, "-f", ending).decode()), delimiter=delimiter)
            check(ending, list(from_text(rows)) == wanted)
        rows = json.loads(run("query", QUERY, "-f", "json"))
        check("json", list(from_text(rows)) == wanted)
        rows = [json.loads(line) for line in run("query", QUERY, "-f", "ndjson").splitlines()]
        check("ndjson", list(from_text(rows)) == wanted)

        path = out / "x.parquet"
        run("query", QUERY, "-o", str(path))
        rows = [tuple(map(plain, row.values())) for row in pyarrow.parquet.read_table(path).to_pylist()]
        check("parquet by pyarrow", rows == wanted)
        rows = connection.execute(f"select * from '{path}'").fetchall()
        check("parquet by DuckDB", [tuple(map(plain, row)) for row in rows] == wanted)

        path = out / "x.arrow"
        run("query", QUERY, "-o", str(path))
        rows = [tuple(map(plain, row.values())) for row in pyarrow.feather.read_table(path).to_pylist()]
        check("arrow by pyarrow", rows == wanted)

        path = out / "x.xlsx"
        run("query", QUERY, "-o", str(path))
        sheet = openpyxl.load_workbook(path).active
        rows = [tuple(map(plain, row)) for row in sheet.iter_rows(min_row=2, values_only=True)]
        check("xlsx by openpyxl", rows == wanted, f"{rows[:1]} {wanted[:1]}")
        check("xlsx header is frozen", sheet.freeze_panes == "A2")

        path = out / "report.xlsx"
        run("run", "aht_by_queue", "-o", str(path))
        book = openpyxl.load_workbook(path)
        check("xlsx of a report", book.active.max_row > 1)
        check("xlsx: data first, then what they are", book.sheetnames[0] != "About" and book.sheetnames[-1] == "About")
        about = [[cell for cell in row if cell is not None] for row in book["About"].iter_rows(values_only=True)]
        flat = [cell for row in about for cell in row]
        for wanted in ("Average handle time by queue", "aht_by_queue", "Parameters", "since", "Columns", "aht_s", "Checks"):
            check(f"xlsx: About has {wanted}", wanted in flat)

        path = out / "ids.xlsx"
        ids = "select 1234567890123456 as id, 123456789012345 as short_id, 0.25 as fcr_ratio, 1234 as contact_count"
        run("query", ids, "-o", str(path))
        id_, short, ratio, count = openpyxl.load_workbook(path).active[2]
        check("xlsx: ids of 16 digits are text", id_.value == "1234567890123456", repr(id_.value))
        check("xlsx: 15 digits are a number", short.value == 123456789012345 and short.number_format == "0")
        check("xlsx: ratios in per cent", ratio.value == 0.25 and ratio.number_format == "0.0%", ratio.number_format)
        check("xlsx: thousands of counts", count.number_format == "#,##0", count.number_format)

    nps = "select round(nps(score), 9) from surveys where kind = 'nps'"
    answer = float(run("query", nps, "-f", "csv").decode().splitlines()[1])
    surveys = pathlib.Path(data) / "surveys.parquet"
    by_hand = connection.execute(
        f"""select round(100.0 * avg(case when score >= 9 then 1 when score <= 6 then -1 else 0 end), 9)
        from '{surveys}' where kind = 'nps' and score between 0 and 10"""
    ).fetchone()[0]
    check("nps equals the arithmetic in DuckDB", math.isclose(answer, by_hand, abs_tol=1e-6), f"{answer} {by_hand}")

    check.end()


main()
