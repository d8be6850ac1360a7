"""`cxql serve` under load, and how fast rows travel; see the head of flight.rs for what a client does.

The queries are timed beside DuckDB in process, where as many threads share one database, the transport beside the
program writing the same Arrow stream into a pipe, and cancelling by the server's processor time.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from common import CANCEL_HEAD, CANCELS, HERE, MIB, cancel_cells, leave, table, verdict

SMALL = ("select channel, count(*) as contact_count, avg(wait_s) as wait_avg_s from interactions "
         "where started_at >= timestamp '2025-03-03' and started_at < timestamp '2025-03-10' group by channel order by channel")
LARGE = "select interaction_id, customer_id, started_at, queue, wait_s, talk_s from interactions limit 200000"
WIDE = "select interaction_id, customer_id, started_at, queue, wait_s, talk_s from interactions"
SHARE_GOAL = 0.7


class Server:
    """A running server and what memory it takes."""

    def __init__(self, bench, options=()):
        command = [bench.cxql, "serve", "--data", bench.data, "--threads", str(bench.threads), "--listen", "127.0.0.1:0",
                   *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"grpc://([\d.:]+)", line):
                self.address = found.group(1)
                break
        else:
            sys.exit("the server did not start: " + "".join(self.log))
        # a pipe that nobody reads would stop the server
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()

    def resident(self):
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s*(\d+)", text).group(1)) * 1024

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        if self.process.wait(60) != 0:
            sys.exit("the server did not end well: " + "".join(self.log[-20:]))


def load_program(bench):
    """The clients, built beside the program."""
    program = Path(bench.cxql).parent / "examples/flight_load"
    if not program.exists():
        sys.exit(f"{program} is not there: cargo build --release --example flight_load")
    return str(program)


def drive(bench, server, seconds, clients, mix, large=LARGE):
    command = [load_program(bench), server.address, str(seconds), str(clients), mix, SMALL, large]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 600)
    if ran.returncode != 0:
        sys.exit(f"the clients failed: {ran.stderr}")
    return json.loads(ran.stdout)


def load(bench, args):
    """A mix of everything; memory is looked at all the time."""
    server, samples, done = Server(bench), [], threading.Event()

    def watch():
        started = time.monotonic()
        while not done.wait(1):
            samples.append((time.monotonic() - started, server.resident()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    seen = drive(bench, server, args.seconds, args.clients, "all")
    done.set()
    watcher.join()
    seen["faults"] = sum(" fault " in line for line in server.log)
    server.stop()
    # the first fifth fills caches; the memory after it is compared with that of the last fifth
    fifth = max(len(samples) // 5, 1)
    early = max(size for _, size in samples[fifth:2 * fifth] or samples)
    late = max(size for _, size in samples[-fifth:])
    rows = [[kind, f"{found['count']:,}", f"{found['p50']:.1f}", f"{found['p99']:.1f}", f"{found['max']:.0f}"]
            for kind, found in seen["kinds"].items()]
    errors = [f"{count} times {error}" for error, count in seen["errors"].items()]
    lines = [
        f"{args.clients} clients for {args.seconds} s, {sum(found['count'] for found in seen['kinds'].values()):,} requests, "
        f"{seen['rows']:,} rows. Errors of the server: {'; '.join(errors) or 'none'}; faults in its log: {seen['faults']}. "
        f"Peak memory in the second fifth of the time {early / MIB:.0f} MiB, in the last {late / MIB:.0f} MiB.",
        "",
        *table(["request", "count", "p50 ms", "p99 ms", "longest ms"], rows),
    ]
    return seen | {"memory": samples}, lines


DUCK = """
import json, sys, threading, time, duckdb
tables, seconds, clients, threads, small, large = json.loads(sys.argv[1])
root = duckdb.connect(config={"threads": threads})
root.execute("set TimeZone = 'UTC'")
for name, path in tables:
    root.execute(f"create view {name} as select * from read_parquet('{path}')")
took, lock, end = {"small query": [], "large query": []}, threading.Lock(), time.monotonic() + seconds

def client(number):
    import random
    chance, own = random.Random(number), root.cursor()
    while time.monotonic() < end:
        kind = "small query" if chance.randrange(45) < 40 else "large query"
        started = time.perf_counter()
        for batch in own.execute(small if kind == "small query" else large).to_arrow_reader():
            pass
        with lock:
            took[kind].append((time.perf_counter() - started) * 1e3)

all_threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
for thread in all_threads: thread.start()
for thread in all_threads: thread.join()
kinds = {}
for kind, values in took.items():
    values.sort()
    at = lambda share: values[round((len(values) - 1) * share)]
    kinds[kind] = {"count": len(values), "p50": at(0.5), "p99": at(0.99), "max": at(1)}
print(json.dumps(kinds))
"""


def queries(bench, args):
    """Only the queries, beside DuckDB in process."""
    seconds = max(args.seconds // 5, 10)
    server = Server(bench)
    ours = drive(bench, server, seconds, args.clients, "queries")
    server.stop()
    task = json.dumps([list(bench.tables()), seconds, args.clients, bench.threads, SMALL, LARGE])
    ran = subprocess.run([bench.python, "-c", DUCK, task], capture_output=True, text=True, timeout=seconds + 600)
    if ran.returncode != 0:
        sys.exit(f"DuckDB failed: {ran.stderr}")
    theirs, rows = json.loads(ran.stdout), []
    for kind in ("small query", "large query"):
        a, b = ours["kinds"][kind], theirs[kind]
        rows.append([kind, f"{a['count'] / seconds:.1f}", f"{b['count'] / seconds:.1f}",
                     *(f"{x:.0f}" for x in (a["p50"], b["p50"], a["p99"], b["p99"])), verdict(a["p50"] / b["p50"], 1)])
    lines = [
        f"{args.clients} clients for {seconds} s each, errors of the server: {sum(ours['errors'].values())}.",
        "",
        *table(["request", "cxql per s", "DuckDB per s", "cxql p50 ms", "DuckDB p50 ms", "cxql p99 ms", "DuckDB p99 ms",
                "p50 ratio"], rows),
    ]
    return {"cxql": ours, "duckdb": theirs}, lines


def transport(bench, args):
    """Rows per second of the whole table over the network and into a pipe, in turns."""
    server, over, into = Server(bench), [], []
    for _ in range(bench.runs):
        begun = server.cpu()
        seen = drive(bench, server, 1, 1, "transport", WIDE)
        over.append({"rows": seen["rows"], "seconds": seen["seconds"], "cpu": server.cpu() - begun})
        started = time.perf_counter()
        writer = subprocess.Popen(
            [bench.cxql, "query", "--data", bench.data, "--threads", str(bench.threads), "-f", "arrow", "--", WIDE],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        size = 0
        while part := writer.stdout.read(4 * MIB):
            size += len(part)
        if writer.wait() != 0:
            sys.exit("the pipe broke")
        into.append({"seconds": time.perf_counter() - started, "bytes": size})
    server.stop()
    middle = sorted(run["seconds"] for run in over)[len(over) // 2]
    piped = sorted(run["seconds"] for run in into)[len(into) // 2]
    count = over[0]["rows"]
    share = piped / middle
    rows = [["Flight SQL", f"{middle:.2f}", f"{count / middle / 1e6:.2f}"], ["pipe", f"{piped:.2f}", f"{count / piped / 1e6:.2f}"]]
    lines = [f"{count:,} rows of 6 columns, {into[0]['bytes'] / MIB:.0f} MiB; Flight SQL has {share:.2f} of the pipe's rows per "
             f"second (goal {SHARE_GOAL}).", "", *table(["way", "s", "million rows per s"], rows)]
    return {"flight": over, "pipe": into}, lines


def cancel(bench, args):
    """How long the server works on when a client is killed or interrupted, or its query stopped by id."""
    server, kinds = Server(bench), {"client killed": signal.SIGKILL, "client interrupted": signal.SIGINT, "stopped by id": None}
    ask = [bench.cxql, "query", "--server", f"grpc://{server.address}", "-f", "csv"]
    sql = (HERE / "questions/fcr_by_topic/cxql.sql").read_text().strip()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = time.perf_counter()
    subprocess.run([*ask, sql], check=True, **quiet)
    whole = time.perf_counter() - started
    records, rows = {"whole": whole}, []
    for kind, number in kinds.items():
        took = []
        for moment in range(CANCELS):
            client = subprocess.Popen([*ask, sql], **quiet)
            time.sleep(whole * (moment + 0.5) / CANCELS)
            if number is None:
                running = "select query_id from system.queries where outcome = 'running' and statement not like '%system.queries%'"
                found = subprocess.run([*ask, running], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
                sent = time.perf_counter()
                for query_id in found:
                    subprocess.run([*ask[:4], "--cancel", query_id], **quiet)
                is_late = not found
            else:
                sent = time.perf_counter()
                client.send_signal(number)
                is_late = False
            last, before = sent, server.cpu()
            # the system counts in hundredths of a second
            while time.perf_counter() - last < 0.1:
                time.sleep(0.002)
                now = server.cpu()
                if now > before:
                    last, before = time.perf_counter(), now
            if client.wait() != 0 and not is_late:
                took.append(last - sent)
        records[kind] = took
        rows.append([kind, *cancel_cells(took)])
    server.stop()
    lines = [f"First-contact resolution, {whole:.1f} s as a whole; until the server's processor time stands still.", "",
             *table(["way", *CANCEL_HEAD], rows)]
    return records, lines


PARTS = {part.__name__: part for part in (load, queries, transport, cancel)}


def run(bench, args):
    bench.use(args.contacts)
    folder = args.results or HERE / "results"
    for name in args.parts or PARTS:
        context = bench.context()
        records, lines = PARTS[name](bench, args)
        context["load"].append(os.getloadavg()[0])
        leave(folder, f"flight_{name}", context, records, lines)
        print(f"\n{name}\n", *lines, "", sep="\n", flush=True)
