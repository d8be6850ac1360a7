"""A differential fuzzer: random statements over random tables in cxql's session, in DuckDB and in stock DataFusion.

    fuzz/run [--minutes 5] [--seed N] [--families windows,groups,...] [--keep FOLDER]

Every case follows from its seed: `--seed N --cases 1` runs it again. A finding is reduced (rows, clauses, settings) before it is
printed. Exit 1 when there is a finding.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time

import functions
import pyarrow
import pyarrow.compute
import statements
import tables
from pipe import Answer, Duck, Pipe, same_order, same_rows, write_parquet

SWITCHES = [
    "hash_window_agg",
    "clustered_aggregation",
    "perfect_hash_aggregation",
    "dictionary_scan",
    "build_side_selection",
    "join_bloom_filter",
    "unsplit_partitions",
    "plain_window_strings",
]

# Answers that differ on purpose. Each is a pattern on the statement and the reason; docs/trust.md repeats them.
INTENDED: list[tuple[str, str]] = [
    # `select * from (values (null::text)) t(k) where nullif('b', k) in ('a', 'b')` has no row there, though the condition is true
    (r"nullif\([^()]*\)\)* in \(", "DuckDB 2.0 loses rows of nullif in IN"),
]

# Errors of the program that are known and not mended yet, with where they come from; docs/trust.md repeats them.
KNOWN: list[tuple[str, str]] = []

# Errors that are answers: a statement is refused with a sentence that says why.
REFUSED = ("overflow", "Overflow", "not supported", "write ")


@dataclasses.dataclass
class Case:
    """Everything that an answer depends on."""

    seed: int
    family: str
    statement: statements.Select
    tables: dict[str, pyarrow.Table]
    settings: dict[str, str]
    files: int
    rows_per_group: int
    is_in_memory: bool


def settings(random: random.Random) -> dict[str, str]:
    chosen = {
        "datafusion.execution.target_partitions": random.choice(["1", "2", "4"]),
        "datafusion.execution.batch_size": random.choice(["2", "7", "100", "8192"]),
        "datafusion.execution.parquet.pushdown_filters": random.choice(["true", "false"]),
        "datafusion.optimizer.repartition_joins": random.choice(["true", "false"]),
        "datafusion.optimizer.prefer_hash_join": random.choice(["true", "true", "false"]),
    }
    for switch in SWITCHES:
        if random.random() < 0.1:
            chosen[f"cxql.engine.{switch}"] = "false"
    return chosen


def case(seed: int, families: list[str]) -> Case:
    generator = random.Random(seed)
    family = generator.choice(families)
    return Case(
        seed=seed,
        family=family,
        tables=tables.tables(generator),
        statement=statements.FAMILIES[family](generator),
        settings=settings(generator),
        files=generator.choice([1, 1, 2, 3]),
        rows_per_group=generator.choice([3, 50, 10_000]),
        is_in_memory=generator.random() < 0.3,
    )


class Fuzzer:
    """The programs, the counts and the findings."""

    def __init__(self, program: str, folder: pathlib.Path) -> None:
        self.pipe = Pipe(program)
        self.duck = Duck()
        self.folder = folder
        self.counts: collections.Counter[str] = collections.Counter()
        self.refusals: collections.Counter[str] = collections.Counter()

    def load(self, case: Case) -> str | None:
        self.duck.start(case.tables)
        setup = []
        for name, rows in case.tables.items():
            folder = self.folder / name
            write_parquet(rows, folder, case.files, case.rows_per_group)
            target = f"{name}_file" if case.is_in_memory else name
            setup.append(f"create external table {target} stored as parquet location '{folder}/'")
            if case.is_in_memory:
                setup.append(f"create table {name} as select * from {target}")
        for session in ("cxql", "stock"):
            error = self.pipe.start(session, setup, case.settings)
            if error is not None:
                return error
        return None

    def compare(self, case: Case) -> str | None:
        """What is wrong with this case; `None` if nothing is."""
        error = self.load(case)
        if error is not None:
            return f"the tables cannot be made: {error}"
        sql = case.statement.sql()
        ours = self.pipe.answer("cxql", sql)
        for text, reason in KNOWN:
            if text in (ours.error or ""):
                self.counts[f"known: {reason}"] += 1
                return None
        if ours.is_fault_of_program:
            return f"cxql: {ours.error}"
        duck = self.duck.answer(sql.replace("bool_or", "bool_or"))
        if ours.rows is None:
            self.counts["refused by cxql"] += 1
            self.refusals[re.sub(r"[\"'`0-9][^ ]*", "_", (ours.error or "").split("\n")[0])[:90]] += 1
            stock = self.pipe.answer("stock", sql)
            if duck.rows is not None and stock.rows is not None and not any(word in (ours.error or "") for word in REFUSED):
                return f"cxql refuses what DuckDB and stock DataFusion answer: {ours.error}"
            return None
        if duck.rows is None:
            self.counts["not in DuckDB"] += 1
            stock = self.pipe.answer("stock", sql)
            if stock.rows is not None and not self.is_same(case, ours, stock):
                if self.is_same_without_negative_zeros(case):
                    self.counts["intended: stock DataFusion has two zeros"] += 1
                    return None
                return f"differs from stock DataFusion (DuckDB: {duck.error})\n  cxql:  {ours.rows[:8]}\n  stock: {stock.rows[:8]}"
            return None
        self.counts["compared with DuckDB"] += 1
        if self.is_same(case, ours, duck):
            return None
        for pattern, reason in INTENDED:
            if re.search(pattern, sql):
                self.counts[f"intended: {reason}"] += 1
                return None
        stock = self.pipe.answer("stock", sql)
        who = "stock DataFusion agrees with cxql" if stock.rows is not None and self.is_same(case, ours, stock) else "stock DataFusion too differs from cxql"
        return f"differs from DuckDB ({who})\n  cxql:   {ours.rows[:8]}\n  DuckDB: {duck.rows[:8]}"

    def is_same_without_negative_zeros(self, case: Case) -> bool:
        """Whether cxql and stock DataFusion agree once every -0.0 of the tables is 0.0, which are one value in cxql."""
        plain = dataclasses.replace(case, tables={name: without_negative_zeros(rows) for name, rows in case.tables.items()})
        if self.load(plain) is not None:
            return False
        ours, stock = (self.pipe.answer(session, plain.statement.sql()) for session in ("cxql", "stock"))
        return ours.rows is not None and stock.rows is not None and self.is_same(plain, ours, stock)

    def is_same(self, case: Case, left: Answer, right: Answer) -> bool:
        assert left.rows is not None and right.rows is not None
        statement = case.statement
        if statement.limit is not None:
            # equal sort keys may be cut anywhere: only the keys are compared
            keys = self.sort_columns(statement)
            return len(left.rows) == len(right.rows) and same_order(left.rows, right.rows, keys, statement.tolerance)
        if not same_rows(left.rows, right.rows, statement.tolerance):
            return False
        if statement.is_checked_order and statement.order:
            return same_order(left.rows, right.rows, self.sort_columns(statement), statement.tolerance)
        return True

    @staticmethod
    def sort_columns(statement: statements.Select) -> list[int]:
        """The leading sort keys that are in the output."""
        names = [name for _, name in statement.items]
        keys = []
        for name, _ in statement.order:
            if name not in names:
                break
            keys.append(names.index(name))
        return keys

    def reduce(self, case: Case, budget_s: float) -> Case:
        """A smaller case with a finding of the same kind."""
        end = time.monotonic() + budget_s
        counts, refusals = self.counts, self.refusals
        self.counts, self.refusals = collections.Counter(), collections.Counter()
        kind = (self.compare(case) or "")[:20]
        is_smaller = True
        while is_smaller and time.monotonic() < end:
            is_smaller = False
            for smaller in self.smaller(case):
                if time.monotonic() > end:
                    break
                finding = self.compare(smaller)
                if finding is not None and finding[:20] == kind:
                    case, is_smaller = smaller, True
                    break
        self.counts, self.refusals = counts, refusals
        return case

    def smaller(self, case: Case):
        for name in list(case.settings):
            yield dataclasses.replace(case, settings={key: value for key, value in case.settings.items() if key != name})
        if case.files > 1:
            yield dataclasses.replace(case, files=1)
        if not case.is_in_memory:
            yield dataclasses.replace(case, is_in_memory=True)
        for statement in case.statement.smaller():
            yield dataclasses.replace(case, statement=statement)
        for name, rows in case.tables.items():
            size = rows.num_rows
            step = max(1, size // 2)
            while size > 0:
                for start in range(0, size, step):
                    rest = pyarrow.concat_tables([rows.slice(0, start), rows.slice(start + step)])
                    yield dataclasses.replace(case, tables=case.tables | {name: rest})
                if step == 1:
                    break
                step //= 2


def without_negative_zeros(rows: pyarrow.Table) -> pyarrow.Table:
    for number, field in enumerate(rows.schema):
        if pyarrow.types.is_floating(field.type):
            zero = pyarrow.scalar(0.0, field.type)
            rows = rows.set_column(number, field, pyarrow.compute.add(rows.column(number), zero))
    return rows


def show(case: Case, finding: str) -> str:
    lines = [f"seed {case.seed}, family {case.family}", f"  {case.statement.sql()}", f"  settings: {case.settings}"]
    for name, rows in case.tables.items():
        if re.search(rf"\b{name}\b", case.statement.sql()):
            lines.append(f"  {name} ({rows.num_rows} rows, {case.files} files, in memory {case.is_in_memory}): {rows.schema.field('g').type}, {rows.schema.field('ts').type}, c {rows.schema.field('c').type}")
            lines += [f"    {row}" for row in rows.slice(0, 12).to_pylist()]
    return "\n".join([*lines, f"  {finding}", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program cxql-conformance")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--cases", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each day")
    parser.add_argument("--families", default=",".join([*statements.FAMILIES, "functions", "split"]))
    parser.add_argument("--findings", type=int, default=10, help="stops after so many")
    parser.add_argument("--reduce-seconds", type=float, default=40)
    options = parser.parse_args()
    families = options.families.split(",")
    seed = options.seed if options.seed is not None else int(time.strftime("%Y%m%d")) * 10**6
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cxql-fuzz-"))
    fuzzer = Fuzzer(options.program, folder)
    end = time.monotonic() + options.minutes * 60
    findings = []
    number = 0
    while number < options.cases and time.monotonic() < end and len(findings) < options.findings:
        generator = random.Random(seed + number)
        family = generator.choice(families)
        if family in functions.FAMILIES:
            finding = functions.FAMILIES[family](generator, fuzzer)
            if finding is not None:
                findings.append(f"seed {seed + number}, family {family}\n  {finding}\n")
        else:
            this = case(seed + number, [family])
            finding = fuzzer.compare(this)
            if finding is not None:
                this = fuzzer.reduce(this, options.reduce_seconds)
                findings.append(show(this, fuzzer.compare(this) or finding))
        fuzzer.counts[family] += 1
        if findings and finding is not None:
            print(findings[-1], flush=True)
        number += 1
    shutil.rmtree(folder)
    print(f"{number} cases from seed {seed}, {len(findings)} findings")
    for name, count in fuzzer.counts.most_common():
        print(f"  {count:7} {name}")
    for text, count in fuzzer.refusals.most_common(12):
        print(f"  {count:7} refused: {text}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
