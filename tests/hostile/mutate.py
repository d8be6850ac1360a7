"""Seeded changes of bytes and of statements."""

from __future__ import annotations

import random
import re
import struct

EXTREMES = [0, 1, -1, 127, 128, 255, 1 << 15, 1 << 20, 1 << 30, (1 << 31) - 1, 1 << 31, 1 << 40, 1 << 60, (1 << 63) - 1, -(1 << 63), -2]


def changed_bytes(chance: random.Random, data: bytes, most: int = 4, tail: int = 0, keeps_length: bool = False) -> bytes:
    """`data` with one to `most` changes. With `tail`, half of them are within that many last bytes, where footers are."""
    out = bytearray(data)
    for _ in range(chance.randint(1, most)):
        if not out:
            return bytes(out)
        first = max(0, len(out) - tail) if tail and chance.random() < 0.5 else 0
        at = chance.randrange(first, len(out))
        kind = chance.randrange(5 if keeps_length else 9)
        if kind < 2:
            out[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            out[at] = chance.randrange(256)
        elif kind == 3:
            at -= at % 8
            out[at : at + 8] = struct.pack("<q", chance.choice(EXTREMES))[: len(out) - at]
        elif kind == 4:
            at -= at % 4
            out[at : at + 4] = struct.pack("<q", chance.choice(EXTREMES))[:4][: len(out) - at]
        elif kind == 5:
            del out[at:]
        elif kind == 6:
            del out[at : at + chance.randint(1, 64)]
        elif kind == 7:
            out[at:at] = out[at : at + chance.randint(1, 64)]
        else:
            out[at:at] = chance.randbytes(chance.randint(1, 16))
    return bytes(out)


TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\w+|\s+|.", re.S)
VALUES = [
    "0", "-1", "1", "2147483647", "-2147483648", "9223372036854775807", "-9223372036854775808", "18446744073709551615",
    "1e308", "-1e308", "1e-320", "0.1", "null", "true", "''", "'x'", "'NaN'::double", "'infinity'::double",
    "'9999-12-31'::date", "timestamp '1677-09-21 00:12:43'", "interval '1000000 months'", "'\u0000'", "'\U0001f600\u0301'",
    "repeat('x', 1000000)", "repeat('ab', 100000000)", "range(0, 1000000000)", "array[1, null, 2]", "[[[]]]",
    "cast(1 as decimal(38, 37))", "x'00ff'", "now()", "{a: 1}", "$1", "(select 1)", "(select wait_s from interactions)",
]  # fmt: skip
WORDS = [
    "select", "from", "where", "group by", "order by", "having", "limit", "offset", "union all", "except", "intersect",
    "over", "partition by", "within group", "filter", "case when", "end", "is null", "not", "and", "or", "in", "exists",
    "between", "lateral", "unnest", "distinct", "(", ")", ",", "*", "::", "->", "||", "^", "[", "]", "recursive", "with",
]  # fmt: skip
FUNCTIONS = [
    "sum", "avg", "count", "min", "max", "array_agg", "string_agg", "median", "stddev", "corr", "approx_distinct", "repeat",
    "lpad", "rpad", "replace", "regexp_replace", "split_part", "substr", "to_timestamp", "to_char", "date_trunc", "date_bin",
    "date_part", "array_repeat", "array_resize", "array_sort", "flatten", "range", "generate_series", "make_date", "encode",
    "decode", "md5", "sha256", "sentiment", "sentiment_label", "standard_label", "service_level", "nps", "csat", "fcr",
    "fcr_survival", "zscore", "modified_zscore", "is_repeat_contact", "first_contact_resolved", "abandonment_rate", "aht", "mode",
    "rate", "lag", "lead", "nth_value", "ntile", "percent_rank", "percentile_cont", "arrow_cast", "coalesce", "nullif", "greatest",
    "power", "factorial", "gcd", "log", "round", "to_hex", "chr", "ascii", "levenshtein", "overlay", "translate", "struct",
    "named_struct", "unnest", "map", "cardinality", "array_to_string", "array_position", "regexp_count", "concat_ws", "initcap",
]  # fmt: skip


def changed_statement(chance: random.Random, sql: str, others: list[str]) -> str:
    """`sql` with some changes of its tokens; now and then nested, chained or joined with another statement."""
    tokens = TOKEN.findall(sql)
    for _ in range(chance.choice([1, 1, 1, 2, 2, 3, 5])):
        at = chance.randrange(len(tokens)) if tokens else 0
        kind = chance.randrange(10)
        if kind == 0:
            del tokens[at : at + chance.randint(1, 4)]
        elif kind == 1:
            tokens[at:at] = tokens[at : at + chance.randint(1, 12)]
        elif kind == 2:
            tokens[at:at] = [" ", chance.choice(WORDS), " "]
        elif kind in (3, 4):
            places = [n for n, token in enumerate(tokens) if token[0].isdigit() or token[0] == "'"] or [at]
            tokens[chance.choice(places) :][:1] = [chance.choice(VALUES)]
            tokens[at : at + (kind == 4)] = [chance.choice(VALUES)]
        elif kind in (5, 6):
            places = [n for n, token in enumerate(tokens[:-1]) if token[0].isalpha() and tokens[n + 1] == "("] or [at]
            at = chance.choice(places)
            tokens[at : at + 1] = [chance.choice(FUNCTIONS)]
        elif kind == 7:
            other = TOKEN.findall(chance.choice(others))
            start = chance.randrange(len(other))
            tokens[at:at] = other[start : start + chance.randint(1, 20)]
        elif kind == 8:
            tokens[at:at] = [chance.choice(["\u0000", "\ufeff", "\u202e", "\U0001f600", "\\", "'", '"', "--", "/*", ";", "\x7f"])]
        else:
            places = [n for n, token in enumerate(tokens) if token[0].isalnum()] or [at]
            one, two = chance.choice(places), chance.choice(places)
            if tokens:
                tokens[one], tokens[two] = tokens[two], tokens[one]
    text = "".join(tokens)
    shape = chance.randrange(24)
    if shape == 0:
        depth = chance.choice([5, 60, 300, 3000])
        text = "select * from (" * depth + text + ")" * depth
    elif shape == 1:
        text = " union all ".join([text] * chance.choice([2, 20, 200, 2000]))
    elif shape == 2:
        part = chance.choice(VALUES)
        text = "select " + chance.choice(["+", "||", " and ", " or ", ",", "*", " = "]).join([part] * chance.choice([10, 100, 1000, 30000]))
    elif shape == 3:
        numbers = ",".join(str(chance.randrange(1 << 40)) for _ in range(chance.choice([10, 1000, 100000])))
        text = f"select count(*) from interactions where wait_s in ({numbers})"
    elif shape == 4:
        value = chance.choice(VALUES)
        for _ in range(chance.choice([2, 6, 20])):
            value = f"{chance.choice(FUNCTIONS)}({value}{chance.choice(['', ', ' + chance.choice(VALUES)])})"
        text = f"select {value} from interactions"
    elif shape == 5:
        text = f"with recursive r as (select 1 as n union all select n {chance.choice('+*')} 1 from r) {text}, r"
    elif shape == 6:
        text = f"explain {chance.choice(['', 'analyze ', 'verbose '])}{text}"
    return text
