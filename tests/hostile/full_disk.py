"""Lets the disk fill up at every size while commands write, and looks at what is left.

usage: full_disk.py CXQL [--points N]

Two limits: no file may exceed a size (RLIMIT_FSIZE, EFBIG, for everybody), and a file system in memory of a size (ENOSPC, where
this process may mount one). Each command is run at N sizes between nothing and what it needs. It succeeds and its outputs are whole,
or it ends with an error that names the cause; then the outputs are as they were, and no temporary file is left beside them. With
room again the same command succeeds.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile

import writers
from writers import FAULTS, OLD, Project, Writer

CAUSES = re.compile(r"file too large|no space left|there is space left|disk is full|disk I/O error|os error 2[78]", re.I)
PAGE = 4096


def run(project: Project, writer: Writer, number: int, file_size: int | None = None) -> subprocess.CompletedProcess:
    def limit() -> None:
        # a write beyond the limit is an error and no signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    return subprocess.run(
        project.command(writer, number), cwd=project.folder, capture_output=True, text=True, timeout=300, preexec_fn=limit, restore_signals=False
    )


class Checks:
    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []

    def fail(self, what: str) -> None:
        self.wrong.append(what)
        print(f"FINDING {what}", flush=True)

    def check(self, project: Project, writer: Writer, number: int, whole: dict[str, object], done: subprocess.CompletedProcess, at: str, has_old: bool) -> None:
        where = f"{writer.name}, {at}"
        outputs = project.outputs(writer, number)
        states = [writers.state(path, whole[name]) for name, path in zip(writer.outputs, outputs)]
        if done.returncode == 0:
            self.counts["succeeded"] += 1
            if set(states) - {"whole"}:
                self.fail(f"{where}: exit code 0 and {states}: {done.stderr[-300:]}")
        else:
            self.counts["refused"] += 1
            before = "old" if has_old else "absent"
            # the outputs of a job are written one after the other
            allowed = {before, "whole"} if writer.is_job else {before}
            if set(states) - allowed:
                self.fail(f"{where}: {states} after an error: {done.stderr[-300:]}")
            if done.returncode not in (1, 2) or not CAUSES.search(done.stderr):
                self.fail(f"{where}: exit code {done.returncode}: {done.stderr[-600:]}")
        if FAULTS.search(done.stderr):
            self.fail(f"{where}: {done.stderr[-600:]}")
        if left := project.left_over(outputs):
            self.fail(f"{where}: {left} is left")
        if left := [path.name for path in (project.folder / "spill").rglob("*") if path.is_file()]:
            self.fail(f"{where}: {left} is left of spilled data")


def points(largest: int, count: int) -> list[int]:
    """Sizes from nothing to everything."""
    return sorted({0, 1, largest, *(largest * n // count for n in range(count))})


def start(project: Project, writer: Writer, number: int, has_old: bool) -> None:
    project.clear()
    if has_old:
        for path in project.outputs(writer, number):
            path.write_bytes(OLD)


def by_file_size(cxql: str, writer: Writer, count: int, checks: Checks) -> tuple[dict[str, object], int]:
    """The limit of one file. Returns the whole outputs and what all files have together."""
    with tempfile.TemporaryDirectory() as name:
        project = Project(cxql, pathlib.Path(name))
        done = run(project, writer, 0)
        if done.returncode != 0:
            raise SystemExit(f"{writer.name}: {done.stderr}")
        outputs = project.outputs(writer, 0)
        whole = {name: writers.content(path) for name, path in zip(writer.outputs, outputs)}
        largest = max([writer.largest, *(path.stat().st_size for path in outputs)])
        total = sum(path.stat().st_size for path in project.folder.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory() as name:
        project = Project(cxql, pathlib.Path(name))
        config = (project.folder / "cxql.toml").read_text()
        for number, size in enumerate(points(largest, count), 1):
            has_old = number % 2 == 0
            start(project, writer, number, has_old)
            (project.folder / "cxql.toml").write_text(config)
            checks.check(project, writer, number, whole, run(project, writer, number, size), f"files of {size} bytes", has_old)
            if number % 4 == 0 or writer.is_job:
                again(project, writer, number, whole, checks, f"after {size} bytes")
    return whole, max(total, largest)


def again(project: Project, writer: Writer, number: int, whole: dict[str, object], checks: Checks, at: str) -> None:
    if writer.name == "demo":
        project.clear()
    if writer.name == "user":
        number += 1000
    done = run(project, writer, number)
    checks.check(project, writer, number, whole, done, f"again {at}", False)
    if done.returncode != 0:
        checks.fail(f"{writer.name}, again {at}: exit code {done.returncode}: {done.stderr[-600:]}")


@contextlib.contextmanager
def small_disk(size: int):
    """A file system of so many bytes; `None` where it cannot be mounted."""
    with tempfile.TemporaryDirectory() as name:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", name]
        if subprocess.run(command, capture_output=True).returncode != 0:
            yield None
            return
        try:
            yield pathlib.Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def by_disk_size(cxql: str, writer: Writer, count: int, checks: Checks, whole: dict[str, object], total: int) -> bool:
    """The limit of the file system. Returns whether there can be one."""
    fixed = 4 * PAGE
    for number, size in enumerate(points(total + 16 * PAGE, count), 1):
        with small_disk(fixed + size // PAGE * PAGE) as folder:
            if folder is None:
                return False
            project = Project(cxql, folder)
            has_old = number % 2 == 0
            start(project, writer, number, has_old)
            checks.check(project, writer, number, whole, run(project, writer, number), f"a disk of {size} bytes", has_old)
            if number % 4 == 0 or writer.is_job:
                subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True, capture_output=True)
                again(project, writer, number, whole, checks, f"after a disk of {size} bytes")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cxql")
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--only", help="writers whose name contains this")
    options = parser.parse_args()
    cxql = str(pathlib.Path(options.cxql).resolve())
    checks = Checks()
    for writer in writers.writers():
        if options.only and options.only not in writer.name:
            continue
        before = sum(checks.counts.values())
        whole, total = by_file_size(cxql, writer, options.points, checks)
        has_disk = by_disk_size(cxql, writer, options.points, checks, whole, total)
        runs = sum(checks.counts.values()) - before
        print(f"{writer.name}: {runs} runs{'' if has_disk else ', no file system can be mounted'}", flush=True)
    print(", ".join(f"{name} {count}" for name, count in checks.counts.items()) + f", {len(checks.wrong)} findings")
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
