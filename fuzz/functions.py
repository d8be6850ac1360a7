"""cxql's own functions against plain Python, and windows against themselves: a partition's answer needs no other partition."""

from __future__ import annotations

import datetime
import random
import statistics
from collections.abc import Callable
from typing import Any

import pyarrow

from pipe import same_rows, write_parquet

START = datetime.datetime(2025, 1, 1)
DAY = datetime.timedelta(days=1)


def contacts(random: random.Random, rows: int) -> list[dict[str, Any]]:
    """Contacts with ties, gaps equal to windows, and NULLs."""
    customers = [f"c{number}" for number in range(random.randint(1, 8))]
    topics = ["billing", "login", None][: random.randint(1, 3)]
    at = lambda: START + random.choice([DAY * random.randint(0, 30), datetime.timedelta(seconds=random.randint(0, 30 * 86400))])  # noqa: E731
    return [
        {
            "id": number,
            "customer": random.choice(customers),
            "topic": random.choice(topics),
            "at": None if random.random() < 0.03 else at(),
            "wait_s": None if random.random() < 0.2 else random.choice([0.0, 5.0, 19.0, 20.0, 21.0, 60.0, float(random.randint(0, 99))]),
            "is_abandoned": None if random.random() < 0.05 else random.random() < 0.3,
            "score": None if random.random() < 0.2 else random.randint(-1, 11),
            "talk_s": None if random.random() < 0.2 else float(random.randint(0, 600)),
            "flag": None if random.random() < 0.2 else random.random() < 0.5,
        }
        for number in range(rows)
    ]


def _load(fuzzer: Any, random: random.Random, rows: list[dict[str, Any]]) -> str | None:
    schema = pyarrow.schema(
        [
            ("id", pyarrow.int64()),
            ("customer", pyarrow.string()),
            ("topic", random.choice([pyarrow.string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())])),
            ("at", random.choice([pyarrow.timestamp("us"), pyarrow.timestamp("ns", "UTC"), pyarrow.timestamp("s")])),
            ("wait_s", pyarrow.float64()),
            ("is_abandoned", pyarrow.bool_()),
            ("score", pyarrow.int64()),
            ("talk_s", pyarrow.float64()),
            ("flag", pyarrow.bool_()),
        ]
    )
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    folder = fuzzer.folder / "contacts"
    write_parquet(table, folder, random.choice([1, 2, 3]), random.choice([3, 1000]))
    settings = {
        "datafusion.execution.target_partitions": random.choice(["1", "2", "4"]),
        "datafusion.execution.batch_size": random.choice(["2", "7", "8192"]),
    }
    for switch in ("hash_window_agg", "perfect_hash_aggregation", "clustered_aggregation"):
        if random.random() < 0.3:
            settings[f"cxql.engine.{switch}"] = "false"
    setup = [f"create external table contacts stored as parquet location '{folder}/'"]
    return fuzzer.pipe.start("cxql", setup, settings)


def _timestamp(at: datetime.datetime) -> str:
    return f"timestamp '{at:%Y-%m-%d %H:%M:%S}'"


def _neighbours(rows: list[dict[str, Any]]) -> dict[int, tuple[datetime.datetime | None, datetime.datetime | None]]:
    """The contact before and after each one of the same customer and topic, by time and id."""
    groups: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for row in rows:
        if row["at"] is not None:
            groups.setdefault((row["customer"], row["topic"]), []).append(row)
    found = {}
    for group in groups.values():
        group.sort(key=lambda row: (row["at"], row["id"]))
        for number, row in enumerate(group):
            before = group[number - 1]["at"] if number > 0 else None
            after = group[number + 1]["at"] if number + 1 < len(group) else None
            found[row["id"]] = (before, after)
    return found


def resolution(random: random.Random, fuzzer: Any) -> str | None:
    """first_contact_resolved by its definition (docs/decisions/definitions.md#resolution)."""
    rows = contacts(random, random.choice([1, 5, 30, 120]))
    error = _load(fuzzer, random, rows)
    if error is not None:
        return error
    window = DAY * random.choice([1, 3, 7, 14])
    since = START + DAY * random.choice([0, 2])
    until = START + DAY * random.choice([10, 20, 30, 31])
    neighbours = _neighbours(rows)

    def resolved(row: dict[str, Any]) -> bool | None:
        at = row["at"]
        if at is None or at < since + window or at + window > until:
            return None
        before, after = neighbours[row["id"]]
        if before is not None and at - before <= window:
            return None
        return after is None or after - at > window

    expected = [(row["id"], resolved(row)) for row in rows]
    over = "over (partition by customer, topic order by at, id)"
    sql = (
        f"select id, first_contact_resolved(at, interval '{window.days} days', {_timestamp(until)}, {_timestamp(since)}) {over} from contacts"
    )
    return _check(fuzzer, sql, expected)


def _check(fuzzer: Any, sql: str, expected: list[tuple[Any, ...]], tolerance: float = 1e-9) -> str | None:
    answer = fuzzer.pipe.answer("cxql", sql)
    fuzzer.counts["compared with Python"] += 1
    if answer.rows is None:
        return f"{sql}\n  {answer.error}"
    if same_rows(answer.rows, expected, tolerance):
        return None
    wrong = [(row, other) for row, other in zip(sorted(answer.rows, key=repr), sorted(expected, key=repr), strict=False) if row != other]
    return f"{sql}\n  (cxql, Python): {wrong[:5]}"


def _service_level(rows: list[dict[str, Any]], threshold: float, short: float, dialect: str) -> float | None:
    """The six formulas of docs/decisions/definitions.md#time-and-queue; a wait is asked for only where a formula needs it."""
    answered = [row["wait_s"] for row in rows if row["is_abandoned"] is False and row["wait_s"] is not None]
    abandoned = [row["wait_s"] for row in rows if row["is_abandoned"] is True]
    known = [wait for wait in abandoned if wait is not None]
    within = sum(wait <= threshold for wait in answered)
    early, brief = sum(wait <= threshold for wait in known), sum(wait <= short for wait in known)
    a, b = len(answered), len(abandoned)
    # where the formula needs the wait of an abandoned contact, one without a wait is left out
    k = len(known)
    numerator, denominator = {
        "offered": (within, a + b),
        "answered": (within, a),
        "late_abandons": (within, a + k - early),
        "abandons_met": (within + early, a + k),
        "short_met": (within + brief, a + k),
        "short_excluded": (within, a + k - brief),
    }[dialect]
    return numerator / denominator if denominator else None


def queue(random: random.Random, fuzzer: Any) -> str | None:
    """service_level in all dialects, per group."""
    rows = contacts(random, random.choice([1, 5, 30, 120]))
    error = _load(fuzzer, random, rows)
    if error is not None:
        return error
    dialect = random.choice(["offered", "answered", "late_abandons", "abandons_met", "short_met", "short_excluded"])
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["customer"], []).append(row)
    expected = [(customer, _service_level(group, 20, 5, dialect)) for customer, group in groups.items()]
    call = f"service_level(wait_s, is_abandoned, 20, '{dialect}'" + (", 5)" if dialect.startswith("short") else ")")
    return _check(fuzzer, f"select customer, {call} from contacts group by customer", expected)


def satisfaction(random: random.Random, fuzzer: Any) -> str | None:
    """nps, csat and rate, per group."""
    rows = contacts(random, random.choice([1, 5, 30, 120]))
    error = _load(fuzzer, random, rows)
    if error is not None:
        return error

    def nps(group: list[dict[str, Any]]) -> float | None:
        scores = [row["score"] for row in group if row["score"] is not None and 0 <= row["score"] <= 10]
        return 100 * (sum(s >= 9 for s in scores) - sum(s <= 6 for s in scores)) / len(scores) if scores else None

    def csat(group: list[dict[str, Any]]) -> float | None:
        scores = [row["score"] for row in group if row["score"] is not None and 1 <= row["score"] <= 5]
        return sum(s >= 4 for s in scores) / len(scores) if scores else None

    def rate(group: list[dict[str, Any]]) -> float | None:
        flags = [row["flag"] for row in group if row["flag"] is not None]
        return sum(flags) / len(flags) if flags else None

    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["topic"], []).append(row)
    expected = [(topic, nps(group), csat(group), rate(group)) for topic, group in groups.items()]
    return _check(fuzzer, "select topic, nps(score), csat(score), rate(flag) from contacts group by topic", expected)


def outliers(random: random.Random, fuzzer: Any) -> str | None:
    """zscore and modified_zscore over partitions."""
    rows = contacts(random, random.choice([1, 5, 30, 120]))
    error = _load(fuzzer, random, rows)
    if error is not None:
        return error
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["customer"], []).append(row)
    expected = []
    for group in groups.values():
        values = [row["talk_s"] for row in group if row["talk_s"] is not None]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        mean = statistics.fmean(values) if values else 0.0
        median = statistics.median(values) if values else 0.0
        mad = statistics.median(abs(value - median) for value in values) if values else 0.0
        spread = statistics.fmean(abs(value - median) for value in values) if values else 0.0
        for row in group:
            value = row["talk_s"]
            z = (value - mean) / deviation if value is not None and deviation > 0 else None
            if value is None or len(values) < 1:
                modified = None
            elif mad > 0:
                modified = 0.6745 * (value - median) / mad
            else:
                modified = (value - median) / (1.253314 * spread) if spread > 0 else None
            expected.append((row["id"], z, modified))
    over = "over (partition by customer)"
    return _check(fuzzer, f"select id, zscore(talk_s) {over}, modified_zscore(talk_s) {over} from contacts", expected, 1e-6)


def functions(random: random.Random, fuzzer: Any) -> str | None:
    """One family of our functions."""
    return random.choice([resolution, queue, satisfaction, outliers])(random, fuzzer)


def split(random: random.Random, fuzzer: Any) -> str | None:
    """Windows by customer over all rows equal the windows over each customer's rows alone."""
    rows = contacts(random, random.choice([5, 30, 120]))
    error = _load(fuzzer, random, rows)
    if error is not None:
        return error
    calls = [
        "row_number()",
        "rank()",
        "lag(at)",
        "lead(score, 2)",
        "sum(talk_s)",
        "count(*)",
        "min(wait_s)",
        "max(topic)",
        "first_value(topic)",
        "zscore(talk_s)",
        "first_contact_resolved(at, interval '7 days', timestamp '2025-01-31 00:00:00')",
        "is_repeat_contact(at, interval '7 days')",
    ]
    chosen = random.sample(calls, random.randint(1, 4))
    over = lambda call: f"{call} over (partition by customer" + ("" if call.startswith("zscore") else " order by at, id") + ")"  # noqa: E731
    items = "id, " + ", ".join(f"{over(call)} as w{number}" for number, call in enumerate(chosen))
    whole = fuzzer.pipe.answer("cxql", f"select {items} from contacts")
    parts = []
    for customer in sorted({row["customer"] for row in rows}):
        # the filter is below the windows: each statement sees one customer's rows alone
        answer = fuzzer.pipe.answer("cxql", f"select {items} from (select * from contacts where customer = '{customer}') as c")
        if answer.rows is None:
            return f"select {items}\n  {answer.error}"
        parts += answer.rows
    fuzzer.counts["split by customer"] += 1
    if whole.rows is None:
        return f"select {items}\n  {whole.error}"
    if same_rows(whole.rows, parts, 1e-7):
        return None
    wrong = set(map(repr, whole.rows)) ^ set(map(repr, parts))
    return f"select {items} from contacts\n  not equal to the same over each customer alone: {sorted(wrong)[:6]}"


FAMILIES: dict[str, Callable[[random.Random, Any], str | None]] = {"functions": functions, "split": split}


