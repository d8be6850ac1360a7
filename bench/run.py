#!/usr/bin/env python3
"""Measures cxql beside DuckDB and the Python package datafusion; see README.md.

    python3 bench/run.py --cxql target/release/cxql --data DIR [--venv DIR] [--runs 5] [PART ...]

Parts: startup plain functions sentiment memory demo (default: all). Each part leaves results/PART.json, and
results/PART.md with its table. Needs Python 3.10 and the network (for pip) unless --venv has the packages.
"""

import argparse
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
import time
import venv
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
SQL, RESULTS = HERE / "sql", HERE / "results"
PACKAGES = ["datafusion==55.0.0", "duckdb", "duckdb-cli", "pyarrow", "vaderSentiment"]
NEAR, FAR = 1.1, 1.3  # the goals: plain queries against the faster peer, functions against built-ins
MIB = 1 << 20
UNITS = {"ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Bench:
    def __init__(self, args):
        self.cxql, self.data = str(Path(args.cxql).resolve()), str(Path(args.data).resolve())
        self.threads, self.runs = args.threads, args.runs
        self.contacts, self.only = args.contacts, args.only
        self.work = Path(tempfile.mkdtemp(prefix="cxql-bench-", dir=args.temp)).resolve()
        self.venv = Path(args.venv).resolve() if args.venv else self.work / "venv"
        if not (self.venv / "bin/python").exists():
            venv.create(self.venv, with_pip=True)
            subprocess.run([self.venv / "bin/pip", "install", "--quiet", *PACKAGES], check=True)
        os.chdir(self.work)  # a folder that is no project
        self.python = str(self.venv / "bin/python")
        # the program itself: the package's entry point is a Python script that starts it
        self.duckdb = str(next(self.venv.glob("lib/*/site-packages/duckdb_cli/duckdb")))

    def spawn(self, command):
        """Runs a process; its wall and CPU seconds and peak memory are the system's own account of it."""
        out, err = self.work / "stdout", self.work / "stderr"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(out), flags, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(err), flags, 0o600),
        ]
        start = time.perf_counter()
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - start
        code = os.waitstatus_to_exitcode(status)
        run = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024, "code": code}
        run["out"], run["err"] = out.read_text(errors="replace"), err.read_text(errors="replace")
        return run

    def must(self, command):
        run = self.spawn(command)
        if run["code"] != 0:
            sys.exit(f"{' '.join(command)}\nexit {run['code']}\n{run['err']}")
        return run

    def cxql_run(self, sql, out=None, options=(), threads=None):
        limits = ["--data", self.data, "--threads", str(threads or self.threads)]
        output = ["-o", str(out)] if out else []
        run = self.spawn([self.cxql, "query", sql, *limits, "--timing", *options, *output])
        found = re.search(r"^([0-9.]+) s, ", run["err"], re.M)
        run["query"] = float(found.group(1)) if found else None
        return run

    def cli_run(self, sql, out=None, memory=None, copy=None):
        tables = "".join(f"create view {name} as select * from read_parquet('{path}');" for name, path in self.tables())
        limit = f"set memory_limit = '{memory}'; set temp_directory = '{self.work}/duckdb';" if memory else ""
        setup = f"set threads = {self.threads}; set TimeZone = 'UTC'; {limit} {tables}"
        if copy:
            sql = f"copy ({sql}) to '{out}' (format {copy})"
        elif out:
            setup += f"\n.mode csv\n.output {out}\n"
        script = self.work / "script.sql"
        script.write_text(f"{setup}\n{sql};\n")
        return self.spawn([self.duckdb, "-no-init", "-batch", "-f", str(script)])

    def peer_run(self, engine, sql, out, memory=None):
        file = self.work / "peer.sql"
        file.write_text(sql)
        command = [self.python, str(HERE / "peer.py"), engine, self.data, str(self.threads), str(memory or "-")]
        run = self.spawn([*command, str(file), str(out)])
        run["query"] = json.loads(run["out"])["seconds"] if run["code"] == 0 else None
        return run

    def tables(self):
        for name in ("interactions", "surveys"):
            folder = Path(self.data) / name
            yield name, str(folder / "*.parquet") if folder.is_dir() else f"{folder}.parquet"

    def context(self):
        """Machine and versions, for the head of a result."""
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1)) >> 20
        pip = subprocess.run([self.python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True).stdout
        names = {package.split("=")[0] for package in PACKAGES}
        return {
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": f"{cpu.group(1) if cpu else '?'}, {os.cpu_count()} cores, {memory} GiB, Linux {os.uname().release}",
            "versions": {item["name"]: item["version"] for item in json.loads(pip) if item["name"] in names}
            | {"cxql": self.spawn([self.cxql, "--version"])["out"].strip(), "Python": sys.version.split()[0]},
            "threads": self.threads,
            "runs": self.runs,
        }

    # The parts. Each returns (records, lines of a Markdown table).

    def startup(self):
        commands = {
            "cxql": [self.cxql, "query", "select 1"],
            "cxql, with the data folder": [self.cxql, "query", "select 1", "--data", self.data],
            "DuckDB CLI": [self.duckdb, "-no-init", "-csv", "-c", "select 1"],
        }
        samples = {name: [] for name in commands}
        for _ in range(max(self.runs, 5) * 5):
            for name, command in commands.items():
                samples[name].append(brief(self.must(command)))
        rows, base = [], median(samples["DuckDB CLI"], "wall")
        for name, runs in samples.items():
            wall = median(runs, "wall")
            rows.append([name, f"{wall * 1e3:.1f} ms", spread(runs, "wall", 1e3), f"{median(runs, 'cpu') * 1e3:.1f} ms",
                         f"{peak(runs):.0f} MiB", f"{wall / base:.2f}"])
        return samples, table(["`select 1`", "wall", "min..max", "CPU", "peak", "wall / DuckDB CLI"], rows)

    def plain(self):
        records, rows = {}, []
        for file in sorted((SQL / "plain").glob("*.sql")):
            name = file.stem
            if "." in name or (self.only and name not in self.only):
                continue
            sql, special = file.read_text().strip(), file.with_suffix(".duckdb.sql")
            other = special.read_text().strip() if special.exists() else sql
            out = {engine: self.work / f"{engine}.csv" for engine in ("cxql", "cli", "duckdb", "datafusion")}
            samples = {engine: [] for engine in out}
            load = [os.getloadavg()[0]]
            for number in range(self.runs + 1):  # the first round warms the page cache and is not counted
                for engine in turn(out, number):
                    run = {
                        "cxql": lambda: self.cxql_run(sql, out["cxql"]),
                        "cli": lambda: self.cli_run(other, out["cli"]),
                        "duckdb": lambda: self.peer_run("duckdb", other, out["duckdb"]),
                        "datafusion": lambda: self.peer_run("datafusion", sql, out["datafusion"]),
                    }[engine]()
                    if run["code"] != 0:
                        sys.exit(f"{name}: {engine} failed:\n{run['err']}")
                    if number > 0:
                        samples[engine].append(brief(run))
            load.append(os.getloadavg()[0])
            results = {engine: read_csv(path) for engine, path in out.items()}
            different = [engine for engine in out if not equal(results["cxql"], results[engine])]
            query = {engine: median(samples[engine], "query") for engine in ("cxql", "duckdb", "datafusion")}
            wall = {engine: median(samples[engine], "wall") for engine in out}
            in_query = query["cxql"] / min(query["duckdb"], query["datafusion"])
            whole = wall["cxql"] / min(wall["cli"], wall["duckdb"], wall["datafusion"])
            records[name] = {"samples": samples, "in_query": in_query, "whole": whole, "load": load, "different": different}
            rows.append([
                name, *(f"{query[e] * 1e3:.0f}" for e in ("cxql", "datafusion", "duckdb")), verdict(in_query, NEAR),
                *(f"{wall[e] * 1e3:.0f}" for e in ("cxql", "cli")), verdict(whole, NEAR),
                " / ".join(f"{peak(samples[e]):.0f}" for e in ("cxql", "cli", "datafusion")),
                f"{load[0]:.1f}..{load[1]:.1f}", ", ".join(different) or "same",
            ])
            print("plain", *rows[-1], sep=" | ", flush=True)
        head = ["question", "in query: cxql ms", "datafusion", "duckdb", "ratio", "process: cxql ms", "DuckDB CLI", "ratio",
                "peak MiB cxql / CLI / datafusion", "load", "results"]
        return records, table(head, rows)

    def functions(self):
        records, rows = {}, []
        for file in sorted((SQL / "functions").glob("*.sql")):
            name = file.stem
            if self.only and name not in self.only:
                continue
            text = re.sub(r"^--.*\n", "", file.read_text(), flags=re.M)
            pair = dict(zip(("ours", "built-in"), (part.strip() for part in text.split(";"))))
            for grouping, key in (("all", None), ("queue", "queue"), ("customer_id", "customer_id")):
                if "over (" in pair["ours"] and key:
                    continue
                if key == "queue" and "from surveys" in pair["ours"]:
                    grouping = key = "kind"
                queries = {which: grouped(sql, key) for which, sql in pair.items()}
                samples, load = {which: [] for which in queries}, [os.getloadavg()[0]]
                answers = {which: self.must_csv(sql) for which, sql in queries.items()}
                for number in range(self.runs):
                    for which in turn(queries, number):
                        run = self.cxql_run(f"explain analyze {queries[which]}", options=["-f", "json"])
                        if run["code"] != 0:
                            sys.exit(f"{name}: {run['err']}")
                        samples[which].append(brief(run) | {"compute": compute_seconds(run["out"])})
                load.append(os.getloadavg()[0])
                compute = {which: median(samples[which], "compute") for which in samples}
                query = {which: median(samples[which], "query") for which in samples}
                same = equal(answers["ours"], answers["built-in"], 1e-6)
                ratios = compute["ours"] / compute["built-in"], query["ours"] / query["built-in"]
                label = f"{name} by {grouping}" if key else name
                records[label] = {"samples": samples, "operators": ratios[0], "query": ratios[1], "load": load, "same": same}
                rows.append([label, *(f"{compute[w] * 1e3:.0f}" for w in compute), verdict(ratios[0], FAR),
                             *(f"{query[w] * 1e3:.0f}" for w in query), verdict(ratios[1], FAR),
                             f"{load[0]:.1f}..{load[1]:.1f}", "same" if same else "differ"])
                print("functions", *rows[-1], sep=" | ", flush=True)
        head = ["function", "operators: ours ms", "built-in", "ratio", "query: ours ms", "built-in", "ratio", "load", "results"]
        return records, table(head, rows)

    def must_csv(self, sql):
        out = self.work / "answer.csv"
        run = self.cxql_run(sql, out)
        if run["code"] != 0:
            sys.exit(run["err"])
        return read_csv(out)

    def sentiment(self):
        texts, scores, peer = self.work / "texts.txt", self.work / "scores.csv", self.work / "vader.txt"
        source = "select interaction_id, text from interactions where language = 'en' and text is not null"
        sample = f"select text, sentiment(text) as score from ({source} order by interaction_id, text limit 20000)"
        self.cxql_run(sample, scores)
        rows = read_csv(scores)[1:]
        texts.write_text("\n".join(row[0] for row in rows), encoding="utf-8")
        samples = {"cxql": [], "built-in": [], "vaderSentiment": []}
        count = 0
        for _ in range(self.runs):
            ours = self.cxql_run(f"select count(sentiment(text)), avg(sentiment(text)) from ({source})", threads=1)
            count = int(float(ours["out"].splitlines()[1].split(",")[0]))
            base = self.cxql_run(f"select count(text), avg(octet_length(text)) from ({source})", threads=1)
            run = self.must([self.python, str(HERE / "peer.py"), "sentiment", str(texts), "1", "-", "-", str(peer)])
            run["query"] = json.loads(run["out"])["seconds"]
            for which, one in zip(samples, (ours, base, run)):
                samples[which].append(brief(one))
        worst = max(abs(float(row[1]) - float(line)) for row, line in zip(rows, peer.read_text().split("\n"), strict=True))
        ours = count / (median(samples["cxql"], "query") - median(samples["built-in"], "query"))
        theirs = len(rows) / median(samples["vaderSentiment"], "query")
        lines = table(["texts a second, one thread", "cxql", "vaderSentiment", "times as many", "largest difference of a score"], [[
            f"{count} texts in cxql, {len(rows)} in vaderSentiment", f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.1f}",
            f"{worst:.0e} over {len(rows)} texts"]])
        return {"samples": samples, "texts": count, "per_second": ours, "peer_per_second": theirs, "worst": worst}, lines

    def memory(self):
        records, rows = {}, []
        cases = [(name, limit, ending) for limit in ("512MB", "1GB") for name, ending in (
            ("sort", "parquet"), ("group_customer_topic", "parquet"), ("fcr", "csv"), ("fcr_report", "csv"),
            ("export", "parquet"), ("export", "csv"))]
        for name, limit, ending in cases:
            if self.only and name not in self.only:
                continue
            sql, bytes_ = (SQL / "memory" / f"{name}.sql").read_text(), {"512MB": 512 * MIB, "1GB": 1024 * MIB}[limit]
            samples, label = {"cxql": [], "cli": []}, f"{name} to {ending}, {limit}"
            for _ in range(max(1, self.runs // 2)):
                for engine in samples:
                    if engine == "cli" and name.startswith("fcr"):
                        continue
                    out = self.work / f"big.{ending}"
                    out.unlink(missing_ok=True)
                    if engine == "cxql":
                        run = self.cxql_run(sql, out, ["--memory", limit, "--temp-dir", str(self.work)])
                    else:
                        run = self.cli_run(sql, out, limit, ending)
                    size = out.stat().st_size if out.exists() else 0
                    samples[engine].append(brief(run) | {"code": run["code"], "bytes": size, "error": run["err"][-400:]})
                    out.unlink(missing_ok=True)
            worst = max(run["peak"] for run in samples["cxql"])
            failed = [run["error"] for run in samples["cxql"] if run["code"] != 0]
            records[label] = {"samples": samples, "limit": bytes_, "peak_of_limit": worst / bytes_, "failed": failed}
            peer = samples["cli"]
            rows.append([name, ending, limit, "failed" if failed else f"{median(samples['cxql'], 'wall'):.1f} s",
                         f"{worst / MIB:.0f} MiB", verdict(worst / bytes_, 1.0),
                         f"{samples['cxql'][-1]['bytes'] / MIB:.0f} MiB",
                         "" if not peer else "failed" if any(r["code"] for r in peer) else f"{median(peer, 'wall'):.1f} s",
                         "" if not peer else f"{peak(peer):.0f} MiB"])
            print("memory", *rows[-1], *failed[:1], sep=" | ", flush=True)
        head = ["query", "to", "limit", "cxql wall", "cxql peak", "peak / limit", "file", "DuckDB CLI wall", "DuckDB CLI peak"]
        return records, table(head, rows)

    def demo(self):
        records, rows = {}, []
        for contacts, runs in ((100_000, self.runs), (1_000_000, min(self.runs, 3)), (self.contacts, 1)):
            folder, samples, load = self.work / "demo", [], os.getloadavg()[0]
            for _ in range(runs):
                shutil.rmtree(folder, ignore_errors=True)
                samples.append(brief(self.must([self.cxql, "demo", str(folder), "--contacts", str(contacts)])))
            size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
            shutil.rmtree(folder, ignore_errors=True)
            wall = median(samples, "wall")
            records[str(contacts)] = {"samples": samples, "bytes": size, "load": load}
            rows.append([f"{contacts:,}", runs, f"{wall:.1f} s", f"{wall / contacts * 1e6:.1f} s", f"{median(samples, 'cpu'):.1f} s",
                         f"{peak(samples):.0f} MiB", f"{size / MIB:.0f} MiB", f"{load:.1f}"])
        return records, table(["contacts", "runs", "wall", "wall per million", "CPU", "peak", "Parquet", "load"], rows)


def turn(items, number):
    """The items, each round beginning with another one."""
    items = list(items)
    return items[number % len(items):] + items[:number % len(items)]


def brief(run):
    return {key: run[key] for key in ("wall", "cpu", "peak", "query") if run.get(key) is not None}


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def peak(runs):
    return max(run["peak"] for run in runs) / MIB


def spread(runs, key, factor):
    values = [run[key] * factor for run in runs]
    return f"{min(values):.1f}..{max(values):.1f}"


def verdict(ratio, goal):
    return f"{ratio:.2f}" if ratio <= goal else f"**{ratio:.2f}**"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def grouped(sql, key):
    """The aggregate of an ungrouped statement for every group, with one row as the result."""
    if not key:
        return sql
    inner = re.sub(r"^select\s+", f"select {key}, ", sql) + f"\ngroup by {key}"
    return f"select count(*) as group_count, count(value) as known_count, sum(value) as value_sum from ({inner})"


def compute_seconds(text):
    """The time in the operators of an analysed plan without the reading of files."""
    plan, total = json.loads(text)[0]["plan"], 0.0
    for line in plan.splitlines():
        found = re.search(r"elapsed_compute=([0-9.]+)(ns|µs|us|ms|s|m)\b", line)
        if found and "DataSourceExec" not in line:
            total += float(found.group(1)) * UNITS[found.group(2)]
    return total


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def equal(left, right, tolerance=1e-9):
    """Whether two results hold the same rows in the same order; names of columns and the form of numbers may differ."""
    if len(left) != len(right):
        return False
    return all(len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b)) for a, b in zip(left[1:], right[1:]))


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


def main():
    parts = ["startup", "plain", "functions", "sentiment", "memory", "demo"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(parts))
    parser.add_argument("--cxql", required=True, help="the release binary")
    parser.add_argument("--data", required=True, help="folder of `cxql demo`; made when it is missing")
    parser.add_argument("--contacts", type=int, default=10_000_000)
    parser.add_argument("--venv", help="virtual environment with the peers; default: a temporary one")
    parser.add_argument("--temp", help="folder for temporary files; default: the system's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="only these questions")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(parts):
        parser.error(f"there is no part {', '.join(unknown)}")
    if not Path(args.data).exists():
        subprocess.run([args.cxql, "demo", args.data, "--contacts", str(args.contacts)], check=True)
    bench = Bench(args)
    RESULTS.mkdir(exist_ok=True)
    try:
        for part in args.parts or parts:
            context = bench.context() | {"contacts": args.contacts, "load_before": os.getloadavg()}
            records, lines = getattr(bench, part)()
            context["load_after"] = os.getloadavg()
            if not args.only:
                (RESULTS / f"{part}.json").write_text(json.dumps(context | {"records": records}, indent=1) + "\n")
                (RESULTS / f"{part}.md").write_text("\n".join(lines) + "\n")
            print(f"\n{part}, load {context['load_before'][0]:.1f}..{context['load_after'][0]:.1f}\n", *lines, "", sep="\n", flush=True)
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)


if __name__ == "__main__":
    main()
