"""The programs that answer: cxql's session and stock DataFusion over a pipe, DuckDB in this process."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import math
import pathlib
import subprocess
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet

Row = tuple[Any, ...]


@dataclasses.dataclass
class Answer:
    """Rows, or the text of an error."""

    rows: list[Row] | None = None
    error: str | None = None
    types: tuple[str, ...] = ()

    @property
    def is_fault_of_program(self) -> bool:
        """Whether the error is one that no statement may cause."""
        if self.error is None:
            return False
        # DataFusion calls arguments of other types so; the program words it as a refusal
        if "failed to match any signature" in self.error:
            return False
        return any(word in self.error for word in ("panic", "internal error", "Internal error", "no answer within"))


def _value(text: str, data_type: str) -> Any:
    """A value of the pipe as Python has it. Dates are timestamps at midnight: the programs differ in which one they return."""
    if text == "NULL":
        return None
    base = data_type
    while base.startswith("Dictionary("):
        base = base.split(", ", 1)[1][:-1]
    if base.startswith(("Int", "UInt")) and not base.startswith("Interval"):
        return int(text)
    if base.startswith(("Float", "Decimal")):
        return {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}.get(text) if text[-1] in "yN" else float(text)
    if base == "Boolean":
        return text == "true"
    if base.startswith(("Timestamp", "Date")):
        try:
            return datetime.datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=None)
        except ValueError:
            return text
    return "" if text == "(empty)" else text


def _python(value: Any) -> Any:
    """A value of DuckDB in the same form."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    return value


class Pipe:
    """`cxql-conformance pipe`: two sessions, started anew for every set of tables."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.process: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [self.program, "pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.process = None
            return {"error": "panic: the program ended"}
        return json.loads(line)

    def start(self, session: str, setup: list[str], settings: dict[str, str]) -> str | None:
        """Makes the tables; the text of an error."""
        return self.ask({"session": session, "setup": setup, "settings": settings}).get("error")

    def answer(self, session: str, sql: str) -> Answer:
        reply = self.ask({"session": session, "sql": sql})
        if "error" in reply:
            return Answer(error=reply["error"])
        types = tuple(data_type for _, data_type in reply["columns"])
        rows = [tuple(_value(text, name) for text, name in zip(row, types, strict=True)) for row in reply["rows"]]
        return Answer(rows=rows, types=types)


class Duck:
    """DuckDB over the same tables."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("set timezone = 'UTC'")

    def start(self, tables: dict[str, pyarrow.Table]) -> None:
        for name, table in tables.items():
            self.connection.register(f"{name}_rows", table)
            self.connection.execute(f"create or replace table {name} as select * from {name}_rows")
            self.connection.unregister(f"{name}_rows")

    def answer(self, sql: str) -> Answer:
        try:
            rows = self.connection.execute(sql).fetchall()
        except duckdb.Error as error:
            return Answer(error=str(error))
        return Answer(rows=[tuple(_python(value) for value in row) for row in rows])


def write_parquet(table: pyarrow.Table, folder: pathlib.Path, files: int, rows_per_group: int) -> None:
    """The rows spread over `files` files."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.parquet"):
        old.unlink()
    size = max(1, -(-table.num_rows // files))
    for number in range(files):
        part = table.slice(number * size, size)
        if number == 0 or part.num_rows > 0:
            pyarrow.parquet.write_table(part, folder / f"{number}.parquet", row_group_size=max(1, rows_per_group))


def _key(value: Any) -> tuple[int, Any]:
    """Sorts values of one column; floats roughly, for those that differ in their last digits."""
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, (int, float)):
        if math.isnan(value):
            return (3, 0)
        if math.isinf(value) or value == 0:
            return (2, float(value))
        return (2, float(f"{value:.5g}"))
    if isinstance(value, datetime.datetime):
        return (4, value.isoformat())
    return (5, str(value))


def _same_value(left: Any, right: Any, tolerance: float) -> bool:
    if left is None or right is None:
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        left_float, right_float = float(left), float(right)
        if math.isnan(left_float) or math.isnan(right_float):
            return math.isnan(left_float) and math.isnan(right_float)
        if left_float == right_float:
            return True
        if isinstance(left, int) and isinstance(right, int):
            return False
        return math.isclose(left_float, right_float, rel_tol=tolerance, abs_tol=tolerance)
    return left == right


def _same_row(left: Row, right: Row, tolerance: float) -> bool:
    return len(left) == len(right) and all(_same_value(a, b, tolerance) for a, b in zip(left, right, strict=True))


def same_rows(left: list[Row], right: list[Row], tolerance: float = 1e-9) -> bool:
    """Whether two answers have the same rows in any order, floats within a relative tolerance."""
    if len(left) != len(right):
        return False
    key = lambda row: tuple(_key(value) for value in row)  # noqa: E731
    pairs = zip(sorted(left, key=key), sorted(right, key=key), strict=True)
    if all(_same_row(a, b, tolerance) for a, b in pairs):
        return True
    # values at the edge of two roundings may sort differently: match what is left one by one
    rest = list(right)
    for row in left:
        for number, other in enumerate(rest):
            if _same_row(row, other, tolerance):
                del rest[number]
                break
        else:
            return False
    return True


def same_order(left: list[Row], right: list[Row], columns: list[int], tolerance: float = 1e-9) -> bool:
    """Whether the values of the sort columns follow one another in the same way."""
    pairs = zip(left, right, strict=True)
    return all(_same_value(a[column], b[column], tolerance) for a, b in pairs for column in columns)
