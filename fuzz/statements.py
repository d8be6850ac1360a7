"""Random statements, as trees that a reducer can take apart."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Any


@dataclasses.dataclass
class Select:
    """One SELECT. Each item is (expression, name)."""

    items: list[tuple[str, str]]
    source: Any  # text, or a list of joined parts: (how, table, condition)
    where: list[str] = dataclasses.field(default_factory=list)
    group: list[str] = dataclasses.field(default_factory=list)
    having: list[str] = dataclasses.field(default_factory=list)
    order: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # (expression, "asc nulls last")
    limit: int | None = None
    is_distinct: bool = False
    inner: Select | None = None  # the source is this, as `q`
    next: tuple[str, Select] | None = None  # ("union all", Select)
    tolerance: float = 1e-9
    is_checked_order: bool = False

    def sql(self) -> str:
        items = ", ".join(f"{expression} as {name}" if name else expression for expression, name in self.items)
        source = f"({self.inner.sql()}) as q" if self.inner is not None else self.source
        text = f"select {'distinct ' if self.is_distinct else ''}{items} from {source}"
        if self.where:
            text += " where " + " and ".join(f"({part})" for part in self.where)
        if self.group:
            text += " group by " + ", ".join(self.group)
        if self.having:
            text += " having " + " and ".join(f"({part})" for part in self.having)
        if self.next is not None:
            text += f" {self.next[0]} {self.next[1].sql()}"
        if self.order:
            text += " order by " + ", ".join(f"{expression} {how}" for expression, how in self.order)
        if self.limit is not None:
            text += f" limit {self.limit}"
        return text

    def smaller(self) -> Iterator[Select]:
        """The same statement with one part less, for the reducer."""
        if self.inner is not None:
            yield self.inner
            for inner in self.inner.smaller():
                smaller = copy.copy(self)
                smaller.inner = inner
                yield smaller
        if self.next is not None:
            smaller = copy.copy(self)
            smaller.next = None
            yield smaller
        for name in ("where", "having", "order", "group", "items"):
            parts = getattr(self, name)
            for number in range(len(parts)):
                if name == "items" and len(parts) == 1:
                    continue
                smaller = copy.copy(self)
                setattr(smaller, name, parts[:number] + parts[number + 1 :])
                yield smaller
        for name, value in (("limit", None), ("is_distinct", False)):
            if getattr(self, name) != value:
                smaller = copy.copy(self)
                setattr(smaller, name, value)
                yield smaller


COLUMNS = {
    "int": ["id", "g", "v"],
    "float": ["x"],
    "text": ["k", "c"],
    "bool": ["b"],
    "time": ["ts", "te"],
    "date": ["d"],
}


class Expressions:
    """Random expressions over the columns of a table, by type. `prefix` is an alias with its point, or empty."""

    def __init__(self, random: random.Random, prefix: str = "", columns: dict[str, list[str]] | None = None) -> None:
        self.random = random
        self.prefix = prefix
        self.columns = columns or COLUMNS

    def column(self, kind: str) -> str:
        return self.prefix + self.random.choice(self.columns[kind])

    def of(self, kind: str, depth: int = 2) -> str:
        return getattr(self, kind)(depth)

    def int(self, depth: int = 2) -> str:
        if depth == 0 or self.random.random() < 0.35:
            return self.random.choice([self.column("int"), str(self.random.randint(-3, 12))])
        a, b = self.int(depth - 1), self.int(depth - 1)
        return self.random.choice(
            [
                f"({a} + {b})",
                f"({a} - {b})",
                f"({a} * {b})",
                f"(-({a}))",
                f"abs({a})",
                f"coalesce({a}, {b})",
                f"greatest({a}, {b})",
                f"least({a}, {b})",
                f"nullif({a}, {b})",
                f"({a} % {self.random.randint(2, 7)})",
                f"case when {self.bool(depth - 1)} then {a} else {b} end",
                f"length({self.text(depth - 1)})",
                f"strpos({self.text(depth - 1)}, 'a')",
                f"cast({self.bool(depth - 1)} as bigint)",
            ]
        )

    def float(self, depth: int = 2) -> str:
        if depth == 0 or self.random.random() < 0.4:
            return self.random.choice([self.column("float"), f"{self.random.uniform(-5, 5):.2f}e0"])
        a, b = self.float(depth - 1), self.float(depth - 1)
        return self.random.choice(
            [
                f"({a} + {b})",
                f"({a} - {b})",
                f"({a} * {b})",
                f"coalesce({a}, {b})",
                f"abs({a})",
                f"cast({self.int(depth - 1)} as double)",
                f"case when {self.bool(depth - 1)} then {a} else {b} end",
            ]
        )

    def text(self, depth: int = 2) -> str:
        if depth == 0 or self.random.random() < 0.5:
            return self.random.choice([self.column("text"), self.random.choice(["'a'", "'b'", "'A'", "''", "'é'"])])
        a, b = self.text(depth - 1), self.text(depth - 1)
        return self.random.choice(
            [
                f"lower({a})",
                f"upper({a})",
                f"({a} || {b})",
                f"coalesce({a}, {b})",
                f"nullif({a}, {b})",
                f"trim({a})",
                f"case when {self.bool(depth - 1)} then {a} else {b} end",
                f"substr({a}, 1, 1)",
                f"replace({a}, 'a', 'b')",
            ]
        )

    def bool(self, depth: int = 2) -> str:
        if depth == 0:
            return self.random.choice([self.column("bool"), f"{self.column('int')} > 2", f"{self.column('text')} = 'a'"])
        kind = self.random.choice([kind for kind in ("int", "float", "text", "time", "date") if kind in self.columns])
        a, b = self.of(kind, depth - 1), self.of(kind, depth - 1)
        operator = self.random.choice(["=", "<>", "<", "<=", ">", ">=", "is distinct from", "is not distinct from"])
        choices = [
            f"({a} {operator} {b})",
            f"({a} {operator} {b})",
            f"({a} is null)",
            f"({a} is not null)",
            f"({a} between {b} and {self.of(kind, depth - 1)})",
            f"({self.text(depth - 1)} like '%a%')",
            f"(not {self.bool(depth - 1)})",
            f"({self.bool(depth - 1)} and {self.bool(depth - 1)})",
            f"({self.bool(depth - 1)} or {self.bool(depth - 1)})",
            f"({self.int(depth - 1)} in ({self.random.choice(['1, 2', '1, null', '3', '0, 5, 7'])}))",
            f"({self.int(depth - 1)} not in ({self.random.choice(['1, 2', '1, null', '3', '0, 5, 7'])}))",
            f"({self.text(depth - 1)} in ('a', 'b'))",
        ]
        if "time" in self.columns:
            choices.append(f"({self.span(depth - 1)} {self.random.choice(['<', '>=', '=', '<>'])} {self.span(depth - 1)})")
        return self.random.choice(choices)

    def time(self, depth: int = 2) -> str:
        if depth == 0 or self.random.random() < 0.4:
            return self.random.choice([self.column("time"), "timestamp '2025-03-01 10:00:00'"])
        a = self.time(depth - 1)
        unit = self.random.choice(["hour", "day", "week", "month", "quarter", "year"])
        return self.random.choice(
            [
                f"date_trunc('{unit}', {a})",
                f"({a} + interval '{self.random.choice(['90 minutes', '1 day', '36 hours', '1 month', '2 weeks'])}')",
                f"({a} - interval '{self.random.choice(['90 minutes', '1 day', '36 hours', '1 month'])}')",
                f"coalesce({a}, {self.time(depth - 1)})",
                f"greatest({a}, {self.time(depth - 1)})",
                f"({self.date(0)} + interval '{self.random.choice(['36 hours', '1 day', '1 month'])}')",
                f"cast({self.date(0)} as timestamp)",
            ]
        )

    def date(self, depth: int = 2) -> str:
        if depth == 0 or self.random.random() < 0.5:
            return self.random.choice([self.column("date"), "date '2025-03-01'"])
        return self.random.choice(
            [
                f"cast({self.time(depth - 1)} as date)",
                f"coalesce({self.date(depth - 1)}, {self.date(depth - 1)})",
            ]
        )

    def span(self, depth: int = 2) -> str:
        """A duration or an interval."""
        literal = self.random.choice(["1 day", "24 hours", "2 days", "36 hours", "1 month", "30 days", "90 minutes", "0 days"])
        if depth == 0 or self.random.random() < 0.5:
            return self.random.choice([f"({self.column('time')} - {self.column('time')})", f"interval '{literal}'"])
        return f"({self.time(depth - 1)} - {self.time(depth - 1)})"

    def epoch(self, depth: int = 1) -> str:
        """Seconds of a span."""
        return f"extract(epoch from ({self.time(depth)} - {self.time(depth)}))"

    def part(self, depth: int = 1) -> str:
        """A field of a timestamp."""
        field = self.random.choice(["year", "month", "day", "hour", "minute", "dow", "doy", "week", "quarter", "epoch"])
        return f"cast(extract({field} from {self.time(depth)}) as double)"

    def any(self, depth: int = 2) -> str:
        kinds = [kind for kind in ("int", "float", "text", "bool", "time", "date") if kind in self.columns]
        kind = self.random.choice(kinds + (["epoch", "part"] if "time" in self.columns else []))
        return self.of(kind, depth if kind not in ("epoch", "part") else 1)


def _how(random: random.Random) -> str:
    return random.choice(["asc", "desc"]) + " nulls " + random.choice(["first", "last"])


def _filters(random: random.Random, expressions: Expressions, most: int = 2) -> list[str]:
    return [expressions.bool() for _ in range(random.choice([0] * 2 + list(range(1, most + 1))))]


def _finish(random: random.Random, select: Select, count: int) -> Select:
    """An order over all columns, sometimes a limit."""
    if random.random() < 0.5:
        order = [(name, _how(random)) for _, name in select.items[:count]]
        random.shuffle(order)
        select.order = order
        select.is_checked_order = True
        if random.random() < 0.5:
            select.limit = random.choice([0, 1, 2, 3, 7, 20])
    return select


def _aggregate(random: random.Random, e: Expressions) -> str:
    number = random.choice([e.int, e.float])(1)
    exact = e.int(1)
    text = e.text(1)
    call = random.choice(
        [
            "count(*)",
            f"count({e.any(1)})",
            f"sum({exact})",
            f"sum({e.column('float')})",
            f"avg({exact})",
            f"min({number})",
            f"max({number})",
            f"min({text})",
            f"max({text})",
            f"count(distinct {e.any(1)})",
            f"sum(distinct {exact})",
            f"stddev({exact})",
            f"var_pop({exact})",
            f"median({exact})",
            f"min({e.time(1)})",
            f"max({e.date(1)})",
            f"bool_or({e.bool(1)})",
            f"extract(epoch from max({e.column('time')} - {e.column('time')}))",
        ]
    )
    return f"{call} filter (where {e.bool(1)})" if random.random() < 0.2 else call


def groups(random: random.Random) -> Select:
    """GROUP BY with aggregates, HAVING, grouping sets."""
    e = Expressions(random)
    keys = [e.of(random.choice(["int", "text", "text", "bool", "date", "float", "time"]), 1) for _ in range(random.randint(0, 3))]
    # a constant key reads as a position
    keys = [key for key in keys if not key.lstrip("-").isdigit()]
    items = [(key, f"k{number}") for number, key in enumerate(keys)]
    items += [(_aggregate(random, e), f"a{number}") for number in range(random.randint(1, 4))]
    group = list(keys)
    if random.random() < 0.2:
        # plain columns: which keys are constants, and whether those are NULL in other sets, is each program's own
        keys = random.sample(["k", "c", "g", "b", "d"], random.randint(2, 3))
        items = [(key, f"k{number}") for number, key in enumerate(keys)] + items[-1:]
        group = [random.choice(["rollup", "cube"]) + "(" + ", ".join(keys) + ")"]
    select = Select(items=items, source=random.choice(["t", "s"]), where=_filters(random, e), group=group)
    if keys and random.random() < 0.3:
        select.having = [f"count(*) {random.choice(['>', '<=', '='])} {random.randint(0, 4)}"]
    select.tolerance = 1e-7
    return _finish(random, select, len(keys))


def _frame(random: random.Random, is_ordered: bool) -> str:
    if not is_ordered or random.random() < 0.4:
        return ""
    bound = lambda side: random.choice(  # noqa: E731
        ["unbounded preceding" if side == 0 else "unbounded following", "current row", f"{random.randint(0, 4)} " + ("preceding" if random.random() < 0.6 else "following")]
    )
    low, high = bound(0), bound(1)
    order = {"unbounded preceding": -99, "current row": 0, "unbounded following": 99}
    number = lambda text: order.get(text, int(text.split()[0]) * (-1 if "preceding" in text else 1) if text[0].isdigit() else 0)  # noqa: E731
    if number(low) > number(high):
        low, high = high, low
    if low == "unbounded following" or high == "unbounded preceding":
        low, high = "unbounded preceding", "current row"
    return f" rows between {low} and {high}"


def windows(random: random.Random) -> Select:
    """Window functions, and arithmetic, filters and limits over them."""
    e = Expressions(random)
    items = [("id", "id")]
    for number in range(random.randint(1, 4)):
        parts = [random.choice([e.column("text"), e.column("int"), e.column("bool"), e.text(1), e.column("float"), e.date(1)]) for _ in range(random.choice([0, 1, 1, 1, 2]))]
        parts = [part for part in parts if part[0] not in "'-0123456789"]
        order = [(e.of(random.choice(["int", "text", "time", "float"]), 1), _how(random)) for _ in range(random.randint(0, 2))]
        order = [(part, how) for part, how in order if part[0] not in "'-0123456789"] + [("id", random.choice(["asc", "desc"]))]
        over = ("partition by " + ", ".join(parts) + " " if parts else "") + "order by " + ", ".join(f"{p} {h}" for p, h in order)
        value = e.of(random.choice(["int", "text", "time"]), 1)
        nulls = random.choice(["", "", " ignore nulls"])
        frame = _frame(random, True)
        exact = e.int(1)
        call = random.choice(
            [
                ("row_number()", ""),
                ("rank()", ""),
                ("dense_rank()", ""),
                (f"ntile({random.randint(1, 5)})", ""),
                ("percent_rank()", ""),
                ("cume_dist()", ""),
                (f"lag({value}, {random.randint(0, 3)}{{nulls}})", ""),
                (f"lead({value}, {random.randint(0, 3)}{{nulls}})", ""),
                (f"lag({exact}, {random.randint(1, 2)}, {random.randint(0, 9)}{{nulls}})", ""),
                (f"first_value({value}{{nulls}})", frame),
                (f"last_value({value}{{nulls}})", frame),
                (f"nth_value({value}, {random.randint(1, 3)}{{nulls}})", frame),
                ("count(*)", frame),
                (f"count({value})", frame),
                (f"sum({exact})", frame),
                (f"sum({e.column('float')})", frame),
                (f"avg({e.column('float')})", frame),
                (f"avg({exact})", frame),
                (f"min({e.of(random.choice(['int', 'float', 'time', 'text']), 1)})", frame),
                (f"max({e.of(random.choice(['int', 'float', 'time', 'text']), 1)})", frame),
                (f"stddev({e.column('float')})", frame),
                (f"var_pop({exact})", frame),
            ]
        )
        name, frame = call
        text = f"{name.replace('{nulls}', nulls)} over ({over}{frame})"
        if name.startswith(("row_number", "rank", "dense_rank", "ntile", "count")) and random.random() < 0.5:
            text = random.choice([f"({text} - {random.randint(0, 9)})", f"least({text}, 5) - {text}", f"-({text})", f"{text} - id"])
        items.append((text, f"w{number}"))
    select = Select(items=items, source=random.choice(["t", "s"]), where=_filters(random, e, 1), tolerance=1e-6)
    if random.random() < 0.4:
        outer = Select(items=[(name, "") for _, name in items], source="", inner=select, tolerance=1e-6)
        name = random.choice(items)[1]
        outer.where = [random.choice([f"{name} is not null", f"{name} is null or id > 5", "id % 2 = 0"])]
        outer.items = [(name, name) for _, name in items]
        return _finish(random, outer, 1)
    return _finish(random, select, 1)


def joins(random: random.Random) -> Select:
    """Joins of every kind, semi and anti joins by subqueries."""
    a, b = Expressions(random, "a."), Expressions(random, "b.")
    shape = random.random()
    if shape < 0.25:
        key = random.choice(["k", "g", "k, g", "b"])
        kind = random.choice(["join", "left join", "right join", "full join"])
        keys = [part.strip() for part in key.split(",")]
        source = f"(select id, k, g, b, v from t) as a {kind} (select id as sid, k, g, b, v as sv from s) as b using ({key})"
        if random.random() < 0.2:
            source = f"(select id, k, g from t) as a natural {kind} (select id as sid, k, g from s) as b"
            keys = ["k", "g"]
        items = [(part, part) for part in keys] + [("id", "id"), ("sid", "sid")]
        select = Select(items=items, source=source)
        if random.random() < 0.4:
            select.where = [random.choice([f"{keys[0]} is not null", f"{keys[0]} is null", "id is null or sid is null"])]
        if random.random() < 0.4:
            select.items = [(part, part) for part in keys] + [("count(*)", "n"), ("count(id)", "m")]
            select.group = keys
        return _finish(random, select, 4)
    if shape < 0.55:
        kind = random.choice(["join", "left join", "right join", "full join", "cross join"])
        on = ""
        if kind != "cross join":
            equal = random.choice(["a.k = b.k", "a.g = b.g", "a.x = b.x", "a.d = b.d", "a.k = b.k and a.g = b.g", "a.c = b.k", "a.k is not distinct from b.k"])
            on = f" on {equal}" + (f" and {random.choice([a, b]).bool(1)}" if random.random() < 0.4 and kind != "full join" else "")
        select = Select(
            items=[("a.id", "aid"), ("b.id", "bid"), (a.any(1), "p"), (b.any(1), "q")],
            source=f"t as a {kind} s as b{on}",
            where=[random.choice([a, b]).bool(1)] if random.random() < 0.4 else [],
        )
        if random.random() < 0.3:
            keys = [a.of(random.choice(["text", "int"]), 0), b.of(random.choice(["text", "int"]), 0)]
            keys = [key for key in keys if key[0] in "ab"]
            select.items = [(key, f"k{number}") for number, key in enumerate(keys)] + [("count(*)", "n"), ("max(a.v)", "m")]
            select.group = keys
            return _finish(random, select, len(keys))
        return _finish(random, select, 2)
    # subqueries
    column = random.choice(["k", "g", "v", "x"])
    inner = f"select {column} from s" + (f" where {Expressions(random).bool(1)}" if random.random() < 0.5 else "")
    correlated = f"select {column} from s where s.g = t.g" + (" and s.v > t.v" if random.random() < 0.3 else "")
    test = random.choice(
        [
            f"t.{column} in ({inner})",
            f"t.{column} not in ({inner})",
            f"not (t.{column} in ({inner}))",
            f"t.{column} not in ({inner}) or t.b",
            f"t.{column} in ({inner}) or t.v > 3",
            f"exists ({correlated})",
            f"not exists ({correlated})",
            f"t.{column} in ({correlated})",
            f"t.{column} not in ({correlated})",
            f"t.{column} {random.choice(['=', '<', '>=', '<>'])} {random.choice(['any', 'all'])} ({inner})",
            f"t.v > (select avg(v) from s where s.k = t.k)",
            f"t.v = (select max(v) from s)",
            f"coalesce((select count(*) from s where s.k = t.k), 0) > 1",
        ]
    )
    if random.random() < 0.25:
        select = Select(items=[("t.id", "id"), (f"({test})", "is_true")], source="t")
    else:
        select = Select(items=[("t.id", "id"), ("t.k", "k")], source="t", where=[test])
    return _finish(random, select, 1)


def sets(random: random.Random) -> Select:
    """DISTINCT and set operations."""
    e = Expressions(random)
    kinds = [random.choice(["int", "text", "float", "bool", "date"]) for _ in range(random.randint(1, 2))]
    operand = lambda table: Select(  # noqa: E731
        items=[(e.of(kind, 1), f"c{number}") for number, kind in enumerate(kinds)], source=table, where=_filters(random, e, 1), is_distinct=random.random() < 0.3
    )
    first = operand("t")
    if random.random() < 0.75:
        second = operand(random.choice(["s", "t"]))
        first.next = (random.choice(["union", "union all", "intersect", "except", "intersect all", "except all"]), second)
        if random.random() < 0.3:
            second.next = (random.choice(["union", "union all", "intersect", "except"]), operand("s"))
    outer = Select(items=[(f"c{number}", f"c{number}") for number in range(len(kinds))], source="", inner=first)
    if random.random() < 0.4:
        outer.items = [("c0", "c0"), ("count(*)", "n")]
        outer.group = ["c0"]
        return _finish(random, outer, 1)
    return _finish(random, outer, len(kinds))


def scalars(random: random.Random) -> Select:
    """Expressions of one row, dates above all."""
    e = Expressions(random)
    items = [("id", "id")] + [(e.any(3), f"e{number}") for number in range(random.randint(1, 3))]
    return _finish(random, Select(items=items, source="t", where=_filters(random, e)), 1)


FAMILIES: dict[str, Callable[[random.Random], Select]] = {
    "windows": windows,
    "groups": groups,
    "joins": joins,
    "sets": sets,
    "scalars": scalars,
}
