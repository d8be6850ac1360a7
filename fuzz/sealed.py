"""Random statements of a user who may read some rows and masked columns, over Flight SQL, against DuckDB over those rows alone.

    fuzz/run sealed [--minutes 5] [--seed N]

A row or value that the role takes out must be in no answer: the rows of DuckDB's table lack it. Exit 1 when there is a finding.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import hashlib
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import adbc_driver_flightsql.dbapi as flight
import pyarrow

import statements
import tables
from pipe import Answer, Duck, same_order, same_rows, write_parquet

CONFIG = """
threads = {threads}
[roles.half]
tables = ["t", "s"]
rows = {{ t = "id % 2 = 0", s = "g is null or g <> 1" }}
masks = {{ t = {{ v = "0" }} }}
[users.ana]
token = "{hash}"
roles = ["half"]
"""
STATEMENTS_PER_SERVER = 60


class Server:
    """`cxql serve` over a folder, and a connection as the user."""

    def __init__(self, program: str, folder: pathlib.Path, threads: int) -> None:
        token = hashlib.sha256(b"token").hexdigest()
        (folder / "cxql.toml").write_text(CONFIG.format(hash=token, threads=threads))
        command = [program, "serve", "--project", str(folder), "--data", str(folder / "data"), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        log = []
        for line in self.process.stderr:
            log.append(line)
            if found := re.search(r"grpc://([\d.:]+)", line):
                break
        else:
            raise RuntimeError("the server did not start: " + "".join(log))
        threading.Thread(target=lambda: collections.deque(self.process.stderr, 0), daemon=True).start()
        options = {"adbc.flight.sql.authorization_header": "Bearer token"}
        self.connection = flight.connect(f"grpc://{found.group(1)}", db_kwargs=options, autocommit=True)

    def answer(self, sql: str) -> Answer:
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql)
                table = cursor.fetch_arrow_table()
        except Exception as error:  # whatever a client raises is the answer
            return Answer(error=str(error))
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True) if table.num_rows else []
        return Answer(rows=[tuple(_plain(value) for value in row) for row in rows])

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait(60)


def _plain(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    if isinstance(value, bytes):
        return value.decode()
    return value


def permitted(rows: dict[str, pyarrow.Table]) -> dict[str, pyarrow.Table]:
    """What the role of `CONFIG` leaves of the tables."""
    import pyarrow.compute as compute

    t, s = rows["t"], rows["s"]
    t = t.filter(pyarrow.array([number % 2 == 0 for number in t["id"].to_pylist()], pyarrow.bool_()))
    t = t.set_column(t.schema.get_field_index("v"), "v", pyarrow.array([0] * t.num_rows, pyarrow.int64()))
    s = s.filter(compute.fill_null(compute.not_equal(s["g"], 1), True))
    return {"t": t, "s": s}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program cxql")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--cases", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each day")
    parser.add_argument("--findings", type=int, default=5, help="stops after so many")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(time.strftime("%Y%m%d")) * 10**6
    duck = Duck()
    counts: collections.Counter[str] = collections.Counter()
    number = findings = 0
    end = time.monotonic() + options.minutes * 60
    while time.monotonic() < end and findings < options.findings and number < options.cases:
        generator = random.Random(seed + number)
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cxql-fuzz-"))
        rows = tables.tables(generator)
        for name, table in rows.items():
            write_parquet(table, folder / "data" / name, generator.choice([1, 2, 3]), generator.choice([3, 50, 10_000]))
        duck.start(permitted(rows))
        server = Server(options.program, folder, generator.choice([1, 2, 4]))
        for _ in range(STATEMENTS_PER_SERVER):
            statement = generator.choice(list(statements.FAMILIES.values()))(generator)
            sql = statement.sql()
            number += 1
            ours, theirs = server.answer(sql), duck.answer(sql)
            if ours.is_fault_of_program:
                findings += 1
                print(f"seed {seed} ({number})\n  {sql}\n  {ours.error}\n", flush=True)
            if ours.rows is None or theirs.rows is None:
                counts["refused by cxql" if ours.rows is None else "not in DuckDB"] += 1
                continue
            counts["compared"] += 1
            keys = [[name for _, name in statement.items].index(name) for name, _ in statement.order]
            if statement.limit is not None:
                is_same = len(ours.rows) == len(theirs.rows) and same_order(ours.rows, theirs.rows, keys, statement.tolerance)
            else:
                is_same = same_rows(ours.rows, theirs.rows, statement.tolerance)
            if not is_same:
                findings += 1
                print(f"seed {seed} ({number})\n  {sql}\n  cxql:   {ours.rows[:8]}\n  DuckDB: {theirs.rows[:8]}\n", flush=True)
        server.stop()
        shutil.rmtree(folder)
    print(f"{number} statements of a restricted user from seed {seed}, {findings} findings")
    for name, count in counts.most_common():
        print(f"  {count:7} {name}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
