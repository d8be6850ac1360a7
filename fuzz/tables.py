"""Random tables `t` and `s`: few distinct values, NULLs, duplicates, and values at which programs go wrong."""

from __future__ import annotations

import datetime
import math
import random

import pyarrow

EPOCH = datetime.datetime(2025, 1, 1)


def _maybe(random: random.Random, share: float, value: object) -> object:
    return None if random.random() < share else value


def table(random: random.Random, rows: int) -> pyarrow.Table:
    """Columns: id, k and c (text, c a dictionary), g and v (integers), x (float), b, d, ts, te."""
    nulls = random.choice([0.0, 0.1, 0.3, 1.0 if random.random() < 0.1 else 0.2])
    is_wild = random.random() < 0.4
    words = ["a", "b", "A", "", "ab", "é", "zz"][: random.randint(1, 7)]
    floats = [0.0, 1.0, 1.5, -2.25, 0.1] + ([-0.0, math.nan, math.inf, -math.inf, 1e17, 1e-9] if is_wild else [])
    numbers = lambda low, high: [_maybe(random, nulls, random.randint(low, high)) for _ in range(rows)]  # noqa: E731
    starts = [
        EPOCH + datetime.timedelta(seconds=random.choice([0, 86400, 3600, random.randint(0, 100 * 86400)])) for _ in range(rows)
    ]
    spans = [datetime.timedelta(seconds=random.choice([0, 3600, 86400, 2 * 86400, random.randint(-86400, 40 * 86400)])) for _ in range(rows)]
    ids = list(range(rows))
    random.shuffle(ids)
    text = pyarrow.array([_maybe(random, nulls, random.choice(words)) for _ in range(rows)], pyarrow.string())
    codes = pyarrow.array([_maybe(random, nulls, random.choice(words)) for _ in range(rows)], pyarrow.string())
    small = random.choice([pyarrow.int32(), pyarrow.int64(), pyarrow.int16(), pyarrow.uint8()])
    stamp = random.choice([pyarrow.timestamp("us"), pyarrow.timestamp("ms"), pyarrow.timestamp("ns")])
    return pyarrow.table(
        {
            "id": pyarrow.array(ids, pyarrow.int64()),
            "k": text,
            "c": codes.dictionary_encode() if random.random() < 0.7 else codes,
            "g": pyarrow.array(numbers(0, 4), small),
            "v": pyarrow.array(numbers(-20, 20), pyarrow.int64()),
            "x": pyarrow.array([_maybe(random, nulls, random.choice(floats)) for _ in range(rows)], pyarrow.float64()),
            "b": pyarrow.array([_maybe(random, nulls, random.random() < 0.5) for _ in range(rows)], pyarrow.bool_()),
            "d": pyarrow.array([_maybe(random, nulls, at.date()) for at in starts], pyarrow.date32()),
            "ts": pyarrow.array([_maybe(random, nulls / 2, at) for at in starts], stamp),
            "te": pyarrow.array([_maybe(random, nulls / 2, at + span) for at, span in zip(starts, spans, strict=True)], stamp),
        }
    )


def tables(random: random.Random) -> dict[str, pyarrow.Table]:
    size = random.choice([0, 1, 3, 8, 20, 60, 200])
    return {"t": table(random, size), "s": table(random, random.choice([0, 1, 4, 10, 30]))}
