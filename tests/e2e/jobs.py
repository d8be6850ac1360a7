"""Kills the scheduler at random points, and looks whether anything was lost or sent twice.

usage: jobs.py CXQL [KILLS]

A job is due every two seconds, writes a file and sends a mail to a server of this script. The scheduler is killed
(SIGKILL) after a random time again and again, then left to end its work. Then every time from the first to the last has one
run that ended, its file, and its mail once. A mail that was on its way when the scheduler was killed may have arrived or
not: it is marked as uncertain, its owner is told, and it is not sent again.
"""

import collections
import csv
import datetime
import io
import pathlib
import random
import re
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

SEED = 20250106


class Mails(socketserver.ThreadingTCPServer):
    """A mail server that takes everything."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        self.taken = []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Talk)


class Talk(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            self.talk()
        except (ConnectionError, BrokenPipeError):
            pass

    def talk(self):
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            word = line.strip().upper()
            if word.startswith(b"EHLO"):
                self.wfile.write(b"250-test\r\n250 8BITMIME\r\n")
            elif word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    text.append(line)
                if not line:
                    return
                with self.server.lock:
                    self.server.taken.append(b"".join(text).decode())
                self.wfile.write(b"250 taken\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


CONFIG = """
[jobs]
owner = "ops@example.com"
max_parallel = 4
[mail]
from = "reports@example.com"
host = "127.0.0.1"
port = {port}
encryption = "none"
[[job]]
name = "tick"
sql = "select 1 as a"
cron = "*/2 * * * * *"
catch_up = "all"
overlap = "queue"
retries = 10000
retry_delay = "10ms"
retry_max = "100ms"
outputs = ["out/{{scheduled}}.csv"]
recipients = "all@example.com"
"""


def rows(cxql, folder, sql):
    done = subprocess.run([cxql, "--project", folder, "query", sql, "-f", "csv"], capture_output=True, text=True, check=True)
    return list(csv.DictReader(io.StringIO(done.stdout)))


def main():
    cxql = str(pathlib.Path(sys.argv[1]).resolve())
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    chance = random.Random(SEED)
    server = Mails()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "cxql.toml").write_text(CONFIG.format(port=server.server_address[1]))
        log = (folder / "log").open("wb")

        def start():
            return subprocess.Popen([cxql, "--project", str(folder), "schedule"], stderr=log, stdout=log)

        started = time.monotonic()
        for _ in range(kills):
            child = start()
            time.sleep(chance.uniform(0.0, 0.9))
            child.kill()
            child.wait()
        print(f"{kills} kills in {time.monotonic() - started:.0f} s", flush=True)
        child = start()
        deadline = time.monotonic() + 120
        open_runs = "select count(*) as n from system.runs where state not in ('succeeded', 'failed')"
        open_mails = "select count(*) as n from system.deliveries where state in ('planned', 'claimed', 'sending')"
        while time.monotonic() < deadline:
            time.sleep(1)
            if all(int(rows(cxql, str(folder), sql)[0]["n"]) <= 1 for sql in (open_runs, open_mails)):
                break
        child.send_signal(signal.SIGTERM)
        if child.wait(timeout=60) != 0:
            raise AssertionError((folder / "log").read_text()[-4000:])

        runs = rows(cxql, str(folder), "select run_id, scheduled_at, state from system.runs order by scheduled_at")
        deliveries = rows(cxql, str(folder), "select run_id, kind, purpose, state from system.deliveries")
        attempts = rows(cxql, str(folder), "select outcome, count(*) as n from system.attempts group by outcome order by 1")
        times = [datetime.datetime.fromisoformat(run["scheduled_at"].replace("Z", "+00:00")) for run in runs]
        gaps = {(later - earlier).total_seconds() for earlier, later in zip(times, times[1:])}
        if gaps != {2.0}:
            raise AssertionError(f"times are missing or twice: {gaps}")
        mails = collections.Counter(re.search(r"Message-ID: <(.*?)>", mail)[1] for mail in server.taken)
        twice = [name for name, count in mails.items() if count > 1]
        if twice:
            raise AssertionError(f"sent twice: {twice}")
        state = {row["run_id"]: row["state"] for row in deliveries if row["kind"] == "mail" and row["purpose"] == "result"}
        # what may have arrived or not is told; the telling of the telling ends in the log
        notices = "".join(server.taken).replace("=\r\n", "")
        text = (folder / "log").read_text()
        uncertain = 0
        for run in runs:
            name = run["run_id"]
            if run["state"] not in ("succeeded", "failed", "queued", "running", "delivering"):
                raise AssertionError(f"{run}")
            if run["state"] in ("queued", "running", "delivering"):
                # due in the second of the end
                if run is not runs[-1] and run is not runs[-2]:
                    raise AssertionError(f"not ended: {run}")
                continue
            stamp = name.split("-", 1)[1]
            if not (folder / "out" / f"{stamp}.csv").read_text() == "a\n1\n":
                raise AssertionError(f"no output of {name}")
            arrived = mails[f"{name}.r@example.com"]
            if state[name] == "uncertain":
                uncertain += 1
                if name not in text or "may have arrived or not" not in text:
                    raise AssertionError(f"nobody was told of {name}")
            elif (state[name], arrived) != ("sent", 1):
                raise AssertionError(f"{name}: {state[name]}, arrived {arrived} times")
        outcomes = ", ".join(f"{row['outcome']} {row['n']}" for row in attempts)
        print(f"{len(runs)} runs, none lost; tries: {outcomes}")
        print(f"{len(server.taken)} mails, none twice; {uncertain} uncertain and told ({notices.count('may have arrived')} by mail)")
    server.shutdown()


main()
