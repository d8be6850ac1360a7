"""Kills commands that write (SIGKILL) at random times, and looks at what is left.

usage: kills.py CXQL [KILLS] [--seed N]

Each output is then as it was before, or whole and new. What the next run makes is whole, whatever the killed one has left in
caches, histories and folders: a killed run of the job is continued under its time, once.
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import writers
from writers import OLD, Project, Writer


class Kills:
    def __init__(self, cxql: str, folder: pathlib.Path, seed: int) -> None:
        self.project = Project(cxql, folder)
        self.chance = random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.number = 0
        self.seconds: dict[str, float] = {}
        self.whole: dict[str, object] = {}

    def run(self, writer: Writer, number: int) -> subprocess.CompletedProcess:
        return subprocess.run(self.project.command(writer, number), cwd=self.project.folder, capture_output=True, text=True, timeout=300)

    def measure(self, writer: Writer) -> None:
        """What a whole run makes, and how long it takes."""
        times = []
        for _ in range(2):
            self.number += 1
            self.project.clear()
            started = time.monotonic()
            done = self.run(writer, self.number)
            times.append(time.monotonic() - started)
            if done.returncode != 0:
                raise SystemExit(f"{writer.name}: {done.stderr}")
        self.seconds[writer.name] = statistics.median(times)
        for name, path in zip(writer.outputs, self.project.outputs(writer, self.number)):
            self.whole[name] = writers.content(path)
        if writer.name == "demo":
            self.whole["demo"] = sorted(path.name for path in (self.project.folder / "out" / "demo").iterdir())

    def kill(self, writer: Writer) -> None:
        self.number += 1
        number = self.number
        outputs = self.project.outputs(writer, number)
        self.project.clear()
        has_old = self.chance.random() < 0.5
        if has_old:
            for path in outputs:
                path.write_bytes(OLD)
        config = self.project.folder / "cxql.toml"
        before = config.read_text()
        delay = self.chance.uniform(0, self.seconds[writer.name] * 1.1)
        child = subprocess.Popen(self.project.command(writer, number), cwd=self.project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            child.kill()
        code = child.wait()
        self.counts["killed" if code == -9 else "ended before"] += 1
        if code not in (-9, 0):
            self.wrong.append(f"{writer.name}: ended with {code}")
        allowed = {"whole", "old" if has_old else "absent"} if code != 0 else {"whole"}
        for name, path in zip(writer.outputs, outputs):
            found = writers.state(path, self.whole[name])
            self.counts[found.split(":")[0]] += 1
            if found not in allowed:
                self.wrong.append(f"{writer.name}: {path.name} is {found} after {delay:.3f} s")
        self.counts["temporary files left"] += len(self.project.left_over(outputs))
        if writer.name == "user":
            text = config.read_text()
            if text != before and not (text.startswith(before) and f"ana{number}" in text and text.endswith("\n")):
                self.wrong.append(f"user: cxql.toml is torn after {delay:.3f} s")
            config.write_text(before)
        if writer.name == "demo":
            self.check_demo(delay)
        # what was left harms nobody: the next run makes the whole
        if writer.name in ("job", "cache", "spill") or self.chance.random() < 0.1:
            self.repeat(writer, number, outputs)

    def check_demo(self, delay: float) -> None:
        folder = self.project.folder / "out" / "demo"
        names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        if names not in ([], self.whole["demo"]):
            self.wrong.append(f"demo: {names} after {delay:.3f} s")
        for path in folder.rglob("*.parquet"):
            writers.content(path)

    def repeat(self, writer: Writer, number: int, outputs: list[pathlib.Path]) -> None:
        if writer.name == "demo":
            self.project.clear()
        done = self.run(writer, number)
        states = [writers.state(path, self.whole[name]) for name, path in zip(writer.outputs, outputs)]
        if done.returncode != 0 or set(states) - {"whole"}:
            self.wrong.append(f"{writer.name}, again: exit code {done.returncode}, {states}, {done.stderr[-500:]}")
        if writer.is_job:
            runs = subprocess.run(
                [self.project.cxql, "--project", str(self.project.folder), "query", "select count(*) filter (where state = 'succeeded') as n, "
                 f"count(*) as all_runs from system.runs where run_id like 'daily-%{number // 60 % 60:02}{number % 60:02}Z%'", "-f", "csv"],
                capture_output=True, text=True, timeout=300,
            )  # fmt: skip
            # an interrupted attempt counts: with `retries = 0` a further call starts the run anew
            if not runs.stdout.splitlines()[1:] or int(runs.stdout.splitlines()[1].split(",")[0]) < 1:
                self.wrong.append(f"job: {runs.stdout} {runs.stderr}")
        self.counts["repeated"] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cxql")
    parser.add_argument("kills", type=int, nargs="?", default=60)
    parser.add_argument("--seed", type=int, default=23)
    parser.add_argument("--only", help="writers whose name contains this")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kills = Kills(str(pathlib.Path(options.cxql).resolve()), pathlib.Path(folder), options.seed)
        all_writers = [writer for writer in writers.writers() if not options.only or options.only in writer.name]
        for writer in all_writers:
            kills.measure(writer)
        for n in range(options.kills):
            kills.kill(all_writers[n % len(all_writers)])
    for text in kills.wrong:
        print(f"FINDING {text}")
    print(f"{options.kills} commands of {len(all_writers)} kinds in {time.monotonic() - started:.0f} s: " + ", ".join(f"{name} {count}" for name, count in kills.counts.most_common()))
    print(f"{len(kills.wrong)} findings")
    return 1 if kills.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
