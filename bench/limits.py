"""Limits and plain queries, one part each: startup plain functions sentiment memory cancel demo.

Each part is a function of the bench and the arguments that returns its records and the lines of a Markdown table.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from common import CANCEL_HEAD, CANCELS, HERE, MIB, brief, cancel_cells, equal, leave, median, peak, read_csv, spread, table, turn, verdict

SQL = HERE / "sql"
CONTACTS = 10_000_000
NEAR, FAR = 1.1, 1.3  # the goals: plain queries against the faster peer, functions against built-ins
UNITS = {"ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def cli_run(bench, sql, out=None, memory=None, copy=None):
    tables = "".join(f"create view {name} as select * from read_parquet('{path}');" for name, path in bench.tables())
    limit = f"set memory_limit = '{memory}'; set temp_directory = '{bench.work}/duckdb';" if memory else ""
    setup = f"set threads = {bench.threads}; set TimeZone = 'UTC'; {limit} {tables}"
    if copy:
        sql = f"copy ({sql}) to '{out}' (format {copy})"
    elif out:
        setup += f"\n.mode csv\n.output {out}\n"
    script = bench.work / "script.sql"
    script.write_text(f"{setup}\n{sql};\n")
    return bench.spawn([bench.duckdb, "-no-init", "-batch", "-f", str(script)])


def startup(bench):
    commands = {
        "cxql": [bench.cxql, "query", "select 1"],
        "cxql, with the data folder": [bench.cxql, "query", "select 1", "--data", bench.data],
        "DuckDB CLI": [bench.duckdb, "-no-init", "-csv", "-c", "select 1"],
    }
    samples = {name: [] for name in commands}
    for _ in range(max(bench.runs, 5) * 5):
        for name, command in commands.items():
            samples[name].append(brief(bench.must(command)))
    rows, base = [], median(samples["DuckDB CLI"], "wall")
    for name, runs in samples.items():
        wall = median(runs, "wall")
        rows.append([name, f"{wall * 1e3:.1f} ms", spread(runs, "wall", 1e3), f"{median(runs, 'cpu') * 1e3:.1f} ms",
                     f"{peak(runs):.0f} MiB", f"{wall / base:.2f}"])
    return samples, table(["`select 1`", "wall", "min..max", "CPU", "peak", "wall / DuckDB CLI"], rows)


def plain(bench):
    records, rows = {}, []
    for file in sorted((SQL / "plain").glob("*.sql")):
        name = file.stem
        if "." in name or (bench.only and name not in bench.only):
            continue
        sql, special = file.read_text().strip(), file.with_suffix(".duckdb.sql")
        other = special.read_text().strip() if special.exists() else sql
        out = {engine: bench.work / f"{engine}.csv" for engine in ("cxql", "cli", "duckdb", "datafusion")}
        samples = {engine: [] for engine in out}
        special, general = bench.work / "duckdb.sql", bench.work / "general.sql"
        special.write_text(other)
        general.write_text(sql)
        load = [os.getloadavg()[0]]
        for number in range(bench.runs + 1):  # the first round warms the page cache and is not counted
            for engine in turn(out, number):
                run = {
                    "cxql": lambda: bench.cxql_run(sql, out["cxql"]),
                    "cli": lambda: cli_run(bench, other, out["cli"]),
                    "duckdb": lambda: bench.peer_run("duckdb", special, out["duckdb"]),
                    "datafusion": lambda: bench.peer_run("datafusion", general, out["datafusion"]),
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


def functions(bench):
    records, rows = {}, []
    for file in sorted((SQL / "functions").glob("*.sql")):
        name = file.stem
        if bench.only and name not in bench.only:
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
            answers = {which: must_csv(bench, sql) for which, sql in queries.items()}
            for number in range(bench.runs):
                for which in turn(queries, number):
                    run = bench.cxql_run(f"explain analyze {queries[which]}", options=["-f", "json"])
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


def must_csv(bench, sql):
    out = bench.work / "answer.csv"
    run = bench.cxql_run(sql, out)
    if run["code"] != 0:
        sys.exit(run["err"])
    return read_csv(out)


def sentiment(bench):
    texts, scores, peer = bench.work / "texts.txt", bench.work / "scores.csv", bench.work / "vader.txt"
    source = "select interaction_id, text from interactions where language = 'en' and text is not null"
    sample = f"select text, sentiment(text) as score from ({source} order by interaction_id, text limit 20000)"
    bench.cxql_run(sample, scores)
    rows = read_csv(scores)[1:]
    texts.write_text("\n".join(row[0] for row in rows), encoding="utf-8")
    samples = {"cxql": [], "built-in": [], "vaderSentiment": []}
    count = 0
    for _ in range(bench.runs):
        ours = bench.cxql_run(f"select count(sentiment(text)), avg(sentiment(text)) from ({source})", threads=1)
        count = int(float(ours["out"].splitlines()[1].split(",")[0]))
        base = bench.cxql_run(f"select count(text), avg(octet_length(text)) from ({source})", threads=1)
        run = bench.must([bench.python, str(HERE / "peer.py"), "sentiment", str(texts), "1", "-", "-", str(peer)])
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


def memory(bench):
    records, rows = {}, []
    cases = [(name, limit, ending) for limit in ("512MB", "1GB") for name, ending in (
        ("sort", "parquet"), ("group_customer_topic", "parquet"), ("fcr", "csv"), ("fcr_report", "csv"),
        ("export", "parquet"), ("export", "csv"))]
    for name, limit, ending in cases:
        if bench.only and name not in bench.only:
            continue
        sql, bytes_ = (SQL / "memory" / f"{name}.sql").read_text(), {"512MB": 512 * MIB, "1GB": 1024 * MIB}[limit]
        samples, label = {"cxql": [], "cli": []}, f"{name} to {ending}, {limit}"
        for _ in range(max(1, bench.runs // 2)):
            for engine in samples:
                if engine == "cli" and name.startswith("fcr"):
                    continue
                out = bench.work / f"big.{ending}"
                out.unlink(missing_ok=True)
                if engine == "cxql":
                    run = bench.cxql_run(sql, out, ["--memory", limit, "--temp-dir", str(bench.work)])
                else:
                    run = cli_run(bench, sql, out, limit, ending)
                size = out.stat().st_size if out.exists() else 0
                samples[engine].append(brief(run) | {"code": run["code"], "bytes": size} | ({"error": run["err"][-400:]} if run["code"] else {}))
                out.unlink(missing_ok=True)
        worst = max(run["peak"] for run in samples["cxql"])
        failed = [run["error"] for run in samples["cxql"] if "error" in run]
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


def cancel(bench):
    """How long the program takes to end when it is interrupted, at moments spread over the whole query."""
    records, rows = {}, []
    for name in ("fcr_by_topic", "windows_lag_lead", "sessions"):
        if bench.only and name not in bench.only:
            continue
        sql = (HERE / "questions" / name / "cxql.sql").read_text().strip()
        out = bench.work / "cancelled.csv"
        whole, took, late = bench.cxql_run(sql, out)["wall"], [], 0
        out.unlink()
        for moment in range(CANCELS):
            command = [bench.cxql, "query", "--data", bench.data, "--threads", str(bench.threads), "-o", str(out), "--", sql]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(whole * (moment + 0.5) / CANCELS)
            sent = time.perf_counter()
            process.send_signal(signal.SIGINT)
            if process.wait() == 130:
                took.append(time.perf_counter() - sent)
            else:
                late += 1  # the query was done before
            if process.returncode == 130 and list(bench.work.glob("*cancelled*")):
                sys.exit(f"{name}: a cancelled query left a file")
            out.unlink(missing_ok=True)
        records[name] = {"whole": whole, "took": took, "done_before": late}
        rows.append([name, f"{whole:.1f} s", *cancel_cells(took)])
        print("cancel", *rows[-1], sep=" | ", flush=True)
    return records, table(["question", "whole", *CANCEL_HEAD], rows)


def demo(bench):
    records, rows = {}, []
    for contacts, runs in ((100_000, bench.runs), (1_000_000, min(bench.runs, 3)), (bench.contacts, 1)):
        folder, samples, load = bench.work / "demo", [], os.getloadavg()[0]
        for _ in range(runs):
            shutil.rmtree(folder, ignore_errors=True)
            samples.append(brief(bench.must([bench.cxql, "demo", str(folder), "--contacts", str(contacts)])))
        size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
        shutil.rmtree(folder, ignore_errors=True)
        wall = median(samples, "wall")
        records[str(contacts)] = {"samples": samples, "bytes": size, "load": load}
        rows.append([f"{contacts:,}", runs, f"{wall:.1f} s", f"{wall / contacts * 1e6:.1f} s", f"{median(samples, 'cpu'):.1f} s",
                     f"{peak(samples):.0f} MiB", f"{size / MIB:.0f} MiB", f"{load:.1f}"])
    return records, table(["contacts", "runs", "wall", "wall per million", "CPU", "peak", "Parquet", "load"], rows)


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


PARTS = {part.__name__: part for part in (startup, plain, functions, sentiment, memory, cancel, demo)}


def run(bench, args):
    bench.use(args.contacts)
    folder = args.results or (None if args.only else HERE / "results")
    for name in args.parts or PARTS:
        context = bench.context()
        records, lines = PARTS[name](bench)
        context["load"].append(os.getloadavg()[0])
        if folder:
            leave(folder, name, context, records, lines)
        print(f"\n{name}, load {context['load'][0]:.1f}..{context['load'][-1]:.1f}\n", *lines, "", sep="\n", flush=True)
