"""What all parts share: processes and their cost, data, peers, comparison of results, tables."""

import csv
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = ["chdb", "datafusion==55.0.0", "duckdb", "duckdb-cli", "polars", "pyarrow", "vaderSentiment"]
# what decides a peer's speed besides the package itself
VERSIONS = {package.split("=")[0] for package in PACKAGES} | {"chdb-core"}
TABLES = ("interactions", "surveys", "customers", "orders", "events")
MIB = 1 << 20


class Bench:
    """One run: the program, the data of so many contacts, the peers' Python, a folder for temporary files."""

    def __init__(self, args):
        self.cxql, self.root = str(Path(args.cxql).resolve()), Path(args.data).resolve()
        self.threads, self.runs, self.only, self.ids = args.threads, args.runs, args.only, args.ids
        self.venv = Path(args.venv).resolve() if args.venv else self.root / "venv"
        self.data = self.contacts = None
        self.peers()
        self.work = Path(tempfile.mkdtemp(prefix="cxql-bench-", dir=args.temp)).resolve()
        os.chdir(self.work)  # a folder that is no project

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)

    def peers(self):
        if not (self.venv / "bin/python").exists():
            self.root.mkdir(parents=True, exist_ok=True)
            unfinished = Path(f"{self.venv}.part")
            shutil.rmtree(unfinished, ignore_errors=True)
            venv.create(unfinished, with_pip=True)
            subprocess.run([unfinished / "bin/python", "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
            unfinished.rename(self.venv)
        self.python = str(self.venv / "bin/python")
        # the program itself: the package's entry point is a Python script that starts it
        self.duckdb = str(next(self.venv.glob("lib/*/site-packages/duckdb_cli/duckdb")))

    def use(self, contacts):
        """Turns to the data of so many contacts, made when it is missing, and brings it into the page cache."""
        folder = data_folder(self.cxql, self.root, contacts, self.ids)
        self.data, self.contacts = str(folder), contacts
        for file in folder.rglob("*.parquet"):
            with open(file, "rb") as open_file:
                while open_file.read(16 * MIB):
                    pass
        self.forget_programs()

    def forget_programs(self):
        """Takes the programs of all engines out of the page cache.

        Files that were just written lie there in large pieces, and a process that maps one counts all of a piece that it
        touches: the same program peaks 19 MiB higher as a fresh copy. Read again from disk, all have small pieces.
        """
        os.sync()
        for file in [Path(self.cxql), *self.venv.rglob("*.so*")]:
            with open(file, "rb") as open_file:
                os.posix_fadvise(open_file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def spawn(self, command, limit_s=None, environment=None):
        """Runs a process; its wall and CPU seconds and peak memory are the system's own account of it."""
        out, err = self.work / "stdout", self.work / "stderr"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(out), flags, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(err), flags, 0o600),
        ]
        start = time.perf_counter()
        pid = os.posix_spawn(command[0], command, os.environ | (environment or {}), file_actions=actions)
        timer = threading.Timer(limit_s, os.kill, (pid, 9)) if limit_s else None
        if timer:
            timer.start()
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - start
        if timer:
            timer.cancel()
        code = os.waitstatus_to_exitcode(status)
        run = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024, "code": code}
        run["out"], run["err"] = out.read_text(errors="replace"), err.read_text(errors="replace")
        if code == -9:
            run["err"] += f"killed after {wall:.0f} s, by the limit of time or for want of memory"
        return run

    def must(self, command):
        run = self.spawn(command)
        if run["code"] != 0:
            sys.exit(f"{' '.join(command)}\nexit {run['code']}\n{run['err']}")
        return run

    def cxql_run(self, sql, out=None, options=(), threads=None, limit_s=None):
        limits = ["--data", self.data, "--threads", str(threads or self.threads)]
        output = ["-o", str(out)] if out else []
        with tempfile.TemporaryDirectory(dir=self.work) as empty:
            limits += ["--cache-dir", empty]
            run = self.spawn([self.cxql, "query", *limits, "--timing", *options, *output, "--", sql], limit_s)
        found = re.search(r"^([0-9.]+) s, ", run["err"], re.M)
        run["query"] = float(found.group(1)) if found else None
        return run

    def cxql_report(self, name, out, keys_known=False, limit_s=None):
        """A shipped report as users run it. Its time is that of the whole process: start, opening of the files, notes and all.

        With `keys_known` it finds what earlier such runs kept of the keys of the files; else it is the first run over them.
        """
        command = [self.cxql, "run", name, "--data", self.data, "--threads", str(self.threads)]
        with tempfile.TemporaryDirectory(dir=self.work) as empty:
            run = self.spawn([*command, "--cache-dir", str(self.work / "cache") if keys_known else empty], limit_s)
        out.write_text(run["out"])
        run["query"] = run["wall"]
        return run

    def peer_run(self, engine, file, out, memory=None, limit_s=None):
        command = [self.python, "-B", str(HERE / "peer.py"), engine, self.data, str(self.threads), str(memory or "-")]
        run = self.spawn([*command, str(file), str(out)], limit_s, {"POLARS_MAX_THREADS": str(self.threads)})
        run["query"] = json.loads(run["out"].splitlines()[-1])["seconds"] if run["code"] == 0 else None
        return run

    def tables(self):
        for name in TABLES:
            folder = Path(self.data) / name
            yield name, str(folder / "*.parquet") if folder.is_dir() else f"{folder}.parquet"

    def context(self):
        """Machine and versions, for the head of a result."""
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1)) >> 20
        pip = subprocess.run([self.python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True).stdout
        return {
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": f"{cpu.group(1) if cpu else '?'}, {os.cpu_count()} cores, {memory} GiB, Linux {os.uname().release}",
            "versions": {"cxql": self.spawn([self.cxql, "--version"])["out"].split()[-1]}
            | {item["name"]: item["version"] for item in json.loads(pip) if item["name"] in VERSIONS}
            | {"Python": self.spawn([self.python, "--version"])["out"].split()[-1]},
            "contacts": self.contacts,
            "customer ids": self.ids,
            "threads": self.threads,
            "runs": self.runs,
            "load": [os.getloadavg()[0]],
        }


# a UUID from each customer id; the demo's own have eight bytes, as few real ones do
UUID = "select * replace (case when customer_id is not null then concat_ws('-', " + ", ".join(
    f"substr(md5(customer_id), {start}, {length})" for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
) + ") end as customer_id) from '{}'"


def data_folder(cxql, root, contacts, ids):
    """The sample data of so many contacts with a style of customer ids, made when it is missing."""
    folder = root / (str(contacts) if ids == "demo" else f"{contacts}-{ids}")
    if folder.exists():
        return folder
    unfinished = Path(f"{folder}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    if ids == "demo":
        subprocess.run([cxql, "demo", str(unfinished), "--contacts", str(contacts)], check=True)
    else:
        source = data_folder(cxql, root, contacts, "demo")
        # not in the folder of the benchmark, which is a project of its own
        ask = {"cwd": root, "check": True}
        for file in sorted(source.rglob("*.parquet")):
            target = unfinished / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            names = [cxql, "query", f"select * from '{file}' limit 0", "-f", "csv"]
            if "customer_id" in subprocess.run(names, stdout=subprocess.PIPE, text=True, **ask).stdout.strip().split(","):
                # one thread keeps the order of rows
                subprocess.run([cxql, "query", UUID.format(file), "--threads", "1", "-o", str(target)], **ask)
            else:
                shutil.copyfile(file, target)
    unfinished.rename(folder)
    return folder


def leave(folder, name, context, records, lines):
    """Writes NAME.json and NAME.md, the table below its machine and versions."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(context | {"records": records}, indent=1) + "\n")
    (folder / f"{name}.md").write_text("\n".join([*head(context), "", *lines]) + "\n")


def head(context):
    versions = ", ".join(f"{name} {version}" for name, version in context["versions"].items())
    contacts = f"{context['contacts']:,} contacts, " if context["contacts"] else ""
    contacts += {"uuid": "UUIDs as customer ids, ", "both": "both styles of customer ids, "}.get(context.get("customer ids"), "")
    return [
        f"{context['machine']}. {versions}.",
        f"{contacts}{context['threads']} threads, {context['runs']} runs, {context['at'][:10]}, "
        f"load {context['load'][0]:.1f} before and {context['load'][-1]:.1f} after.",
    ]


def turn(items, number):
    """The items, each round beginning with another one."""
    items = list(items)
    start = number % max(len(items), 1)
    return items[start:] + items[:start]


def brief(run):
    return {key: run[key] for key in ("wall", "cpu", "peak", "query") if run.get(key) is not None}


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def peak(runs):
    return max(run["peak"] for run in runs) / MIB


def spread(runs, key, factor, digits=1):
    values = [run[key] * factor for run in runs]
    return f"{min(values):.{digits}f}..{max(values):.{digits}f}"


def verdict(ratio, goal):
    return f"{ratio:.2f}" if ratio <= goal else f"**{ratio:.2f}**"


# at so many moments of a query it is cancelled, and so soon nothing may be left of it
CANCELS, CANCEL_GOAL_S = 40, 0.1
CANCEL_HEAD = ["times", "median", "longest", "longest / 100 ms"]


def cancel_cells(took):
    longest = max(took)
    return [len(took), f"{statistics.median(took) * 1e3:.0f} ms", f"{longest * 1e3:.0f} ms", verdict(longest / CANCEL_GOAL_S, 1)]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def read_sections(path):
    """The sections of a report: blocks of CSV, each below a line `# TITLE` when there are several."""
    sections = [[]]
    for row in read_csv(path):
        if len(row) == 1 and row[0].startswith("# "):
            sections.append([])
        elif row:
            sections[-1].append(row)
    return [section for section in sections if section]


def equal(left, right, tolerance=1e-9):
    """Whether two results hold the same rows in the same order; names of columns and the form of numbers may differ."""
    return difference(left, right, tolerance) is None


def difference(left, right, tolerance=1e-9):
    """The first row in which two results differ, in words."""
    if len(left) != len(right):
        return f"{len(left) - 1} rows against {len(right) - 1}"
    for number, (a, b) in enumerate(zip(left[1:], right[1:]), 1):
        if len(a) != len(b) or not all(same(x, y, tolerance) for x, y in zip(a, b)):
            return f"row {number}: {', '.join(a)} against {', '.join(b)}"
    return None


def section_difference(left, right, tolerance=1e-9):
    """The first difference of two lists of sections."""
    if len(left) != len(right):
        return f"{len(left)} sections against {len(right)}"
    found = ((number, difference(a, b, tolerance)) for number, (a, b) in enumerate(zip(left, right), 1))
    return next((f"section {number}, {text}" for number, text in found if text), None)


def same(left, right, tolerance):
    left, right = (re.sub(r"[ T](\d\d:\d\d:\d\d)(\.0+)?(Z|\+00(:00)?)?$", r"T\1", text) for text in (left, right))
    left, right = (re.sub(r"^(\d{4}-\d\d-\d\d)T00:00:00$", r"\1", text) for text in (left, right))
    left, right = ("" if text == "NULL" else text for text in (left, right))
    if left == right:
        return True
    try:
        return math.isclose(float(left), float(right), rel_tol=tolerance)
    except ValueError:
        return False
