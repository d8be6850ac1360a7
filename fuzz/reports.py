"""The shipped reports, mutated, with all rules on and with all rules off: the same rows.

    fuzz/run reports [--minutes 5] [--seed N] [--data FOLDER]

A mutation changes a literal, a join, a sort, a filter or a parameter of a report's SQL. What no longer plans is counted and passed
over; what plans must answer the same in both sessions, on one thread and on several. Exit 1 when there is a finding.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

from pipe import same_rows

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The switches of rules. `function_overrides` stays on: without it DataFusion's own faults are back.
SWITCHES = [
    "build_side_selection",
    "clustered_aggregation",
    "dictionary_scan",
    "hash_window_agg",
    "join_bloom_filter",
    "merge_percentiles",
    "perfect_hash_aggregation",
    "plain_window_strings",
    "unsplit_partitions",
]


def _number(random: random.Random, text: str) -> str:
    return str(random.choice([0, 1, 2, 3, 7, 30, int(text) + 1]))


def mutations(random: random.Random, sql: str) -> str:
    """The statement with one to three changes."""
    header = [line for line in sql.splitlines() if line.startswith("--")]
    body = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    for _ in range(random.randint(1, 3)):
        changes = [
            (r"\b(left join|join|right join|full join)\b", lambda m: random.choice(["left join", "join"])),
            (r"(?<![\w.'$-])\d{1,3}(?![\w.'])", lambda m: _number(random, m.group())),
            (r"'\d+ (days|hours|minutes)'", lambda m: random.choice(["'1 days'", "'30 days'", "'2 hours'"])),
            (r" filter \(where [^()]*\)", lambda m: ""),
            (r"(?<=\bdate_trunc\(')\w+(?=')", lambda m: random.choice(["hour", "day", "week", "month", "year"])),
            (r"\bcount\(\*\)", lambda m: "count(topic)" if random.random() < 0.3 else "count(*) + 1"),
            (r"\bavg\(", lambda m: random.choice(["min(", "max(", "sum(", "stddev("])),
            (r"\b(>=|<=|<|>)(?= )", lambda m: random.choice([">=", "<=", "<", ">"])),
            (r"\bdesc\b", lambda m: "asc"),
            (r"(?<= )and(?= )", lambda m: random.choice(["and", "or"])),
            (r"\bpartition by (\w+), ", lambda m: random.choice(["partition by ", f"partition by {m.group(1)}, "])),
            (r"\bis not null\b", lambda m: "is null"),
            (r"\bunion all\b", lambda m: "union"),
        ]
        pattern, change = random.choice(changes)
        places = list(re.finditer(pattern, body))
        if places:
            place = random.choice(places)
            body = body[: place.start()] + change(place) + body[place.end() :]
    # checks and charts are about the report as it was
    kept = [line for line in header if line.startswith("-- param:")]
    if random.random() < 0.5:
        kept = [re.sub(r"= \d+ days", f"= {random.choice([1, 3, 30])} days", line) for line in kept]
    return "\n".join(["-- title: Mutated", *kept, body]) + "\n"


def _value(text: Any) -> Any:
    return math.nan if text == "NaN" else text


def answer(program: str, project: pathlib.Path, config: pathlib.Path, report: pathlib.Path, threads: int) -> tuple[str, Any]:
    """("rows", rows of all sections) or ("error", text)."""
    command = [program, "--project", str(project), "--config", str(config), "--threads", str(threads), "run", str(report), "-f", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        return "error", done.stderr.strip()
    value = json.loads(done.stdout)
    sections = list(value.values()) if isinstance(value, dict) else [value]
    rows = []
    for number, section in enumerate(sections):
        for row in section:
            rows.append((number, *(_value(cell) if not isinstance(cell, (list, dict)) else json.dumps(cell) for cell in row.values())))
    return "rows", rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program cxql")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each day")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "data", help="folder with the tables")
    parser.add_argument("--findings", type=int, default=5, help="stops after so many")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(time.strftime("%Y%m%d")) * 10**6
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cxql-fuzz-"))
    shutil.copytree(ROOT / "sql", folder / "sql")
    (folder / "data").symlink_to(options.data.resolve())
    on, off = folder / "on.toml", folder / "off.toml"
    on.write_text("")
    off.write_text("[engine]\n" + "".join(f"{switch} = false\n" for switch in SWITCHES))
    reports = sorted(path for path in (ROOT / "sql").glob("*/*.sql") if path.parent.name != "views")
    counts: collections.Counter[str] = collections.Counter()
    findings = number = 0
    end = time.monotonic() + options.minutes * 60
    while time.monotonic() < end and findings < options.findings:
        generator = random.Random(seed + number)
        original = generator.choice(reports)
        sql = mutations(generator, original.read_text())
        report = folder / "mutated.sql"
        report.write_text(sql)
        number += 1
        kind, ours = answer(options.program, folder, on, report, generator.choice([1, 2, 4]))
        if kind == "error":
            counts["does not run any more"] += 1
            if "panic" in ours or "nternal error" in ours:
                findings += 1
                print(f"seed {seed + number - 1}, {original.name}\n{sql}\n{ours}\n", flush=True)
            continue
        other_kind, other = answer(options.program, folder, off, report, generator.choice([1, 2]))
        counts["compared"] += 1
        if other_kind == "error":
            findings += 1
            print(f"seed {seed + number - 1}, {original.name}: fails with the rules off\n{sql}\n{other}\n", flush=True)
        elif not same_rows(ours, other, 1e-9):
            findings += 1
            only = [row for row in ours if row not in other][:5], [row for row in other if row not in ours][:5]
            print(f"seed {seed + number - 1}, {original.name}: rules on and off differ\n{sql}\n  on:  {only[0]}\n  off: {only[1]}\n", flush=True)
    shutil.rmtree(folder)
    print(f"{number} mutated reports from seed {seed}, {findings} findings")
    for name, count in counts.most_common():
        print(f"  {count:7} {name}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
