"""Attacks a server with changed statements, messages and files, while another client must be served all the time.

usage: campaign.py CXQL [--seed N] [--minutes M] [--only KIND:NUMBER]

The server has `--memory 1GB` and a limit of its address space (`ulimit -v`): memory beyond that is refused by the system, and
the server would abort. Four attackers take one case after the other, each made from the seed and its number:

statements  statements of `statements.sql` with changed tokens, nested, chained, with constants that are far larger than they
requests    calls of Flight SQL with changed bytes: commands, tickets, actions
uploads     rows as Arrow messages with changed bytes, declared lengths and more content than bytes
files       changed Parquet, Arrow, CSV, NDJSON and gzip files that take the place of others while they are read

Meanwhile a client of a process of its own runs `select 1`. The campaign fails if the server ends, if its memory exceeds the
bound, if an answer is neither rows that can be read nor an error of the server's own words, if a call has no end, if the log
has a panic, or if `select 1` is wrong or late. A finding is printed with the command that repeats it.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import pathlib
import queue
import random
import re
import shutil
import socket
import sys
import tempfile
import time

import corpus
import flight
import grpc
import mutate
import pyarrow
from server import MIB, Server, cases

DATA = pathlib.Path(__file__).resolve().parents[2] / "data"
KINDS = ("statements", "requests", "uploads", "files")

# tables of each format whose files change
SLOTS = 4
CONFIG = """
[serve]
timeout_s = 15
queue_s = 15
max_queries = 8
"""
# an answer comes within the server's own limits of waiting, planning and running, or never
CALL_S = 90
PROBE_PAUSE_S = 0.02

# no error of a user says this
FAULTS = ("panicked", "a fault of", "internal error", "backtrace", "unwrap", "please report", "likely caused by a bug")
# of a server that lives, a lost connection is no answer
CODES = {
    "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "DATA_LOSS", "FAILED_PRECONDITION",
    "OUT_OF_RANGE", "PERMISSION_DENIED", "ALREADY_EXISTS", "UNAUTHENTICATED", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED",
    "UNAVAILABLE",
}  # fmt: skip
LOST = ("Socket closed", "Connection reset", "GOAWAY", "Broken pipe", "failed to connect", "recvmsg")


def verdict(error: grpc.RpcError) -> tuple[str, str | None]:
    """The code of an error, and what is wrong with it."""
    code, text = error.code().name, error.details() or ""
    lower = text.lower()
    if code == "INTERNAL" and text.startswith("failed to decode Protobuf message"):
        return "malformed", None
    if code == "CANCELLED" and "on client side" in lower or "Locally cancelled" in text:
        return "enough rows", None
    if code == "DEADLINE_EXCEEDED" and text == "Deadline Exceeded":
        return code, f"no end within {CALL_S} s"
    if code not in CODES or any(word in lower for word in FAULTS) or any(word in text for word in LOST):
        return code, f"{code}: {text}"
    if not text.strip():
        return code, f"{code} without a word"
    return code, None


class Attacker:
    """The cases of one kind."""

    def __init__(self, kind: str, seed: int, address: str, folder: pathlib.Path) -> None:
        self.kind, self.seed, self.folder = kind, seed, folder
        self.client = flight.Client(address, CALL_S)
        self.statements = corpus.statements()
        self.requests = corpus.requests() if kind == "requests" else []
        self.uploads = corpus.uploads(seed) if kind == "uploads" else []
        self.files = corpus.files(seed) if kind == "files" else {}
        self.counts: collections.Counter[str] = collections.Counter()

    def run(self, number: int) -> list[str]:
        """Runs a case and returns what is wrong."""
        chance = random.Random(f"{self.seed}/{self.kind}/{number}")
        return [found for found in getattr(self, self.kind[:-1])(chance, number) if found]

    def call(self, what: str, function, *arguments) -> str | None:
        """Makes a call whose messages may be rows."""
        try:
            messages = function(*arguments)
        except grpc.RpcError as error:
            code, wrong = verdict(error)
            self.counts[code] += 1
            return wrong and f"{what}\n  {wrong}"
        self.counts["answered"] += 1
        if function == self.client.rows and messages:
            try:
                flight.table_of(messages)
            except (pyarrow.ArrowException, ValueError, OSError) as error:
                return f"{what}\n  rows that cannot be read: {error}"
        return None

    def statement(self, chance: random.Random, number: int) -> list[str | None]:
        sql = mutate.changed_statement(chance, chance.choice(self.statements), self.statements)
        data = sql.encode("utf-8", "replace")
        if chance.random() < 0.05:
            data = mutate.changed_bytes(chance, data)
        if chance.random() < 0.1:
            return [self.call(shown(sql), self.client.prepare, data)]
        return [self.call(shown(sql), self.client.rows, flight.query_command(data))]

    def request(self, chance: random.Random, number: int) -> list[str | None]:
        chosen = chance.choice(self.requests)
        method, request = chosen.method, chosen.encoded()
        change = chance.random()
        if change < 0.7:
            # what is around the command is right
            request = chosen.encoded(mutate.changed_bytes(chance, chosen.body))
        elif change < 0.9:
            request = mutate.changed_bytes(chance, request)
        if chance.random() < 0.1:
            method = chance.choice(["DoGet", "GetFlightInfo", "GetSchema", "DoAction"])
        if chance.random() < 0.05:
            self.garbage(chance)
        is_stream = method in ("DoGet", "DoAction", "ListActions", "ListFlights", "Handshake")
        function = self.client.stream if is_stream else self.client.one
        return [self.call(f"{method} {request[:300].hex()}", function, method, request)]

    def garbage(self, chance: random.Random) -> None:
        """Bytes that are no gRPC at all, on a connection of their own."""
        host, port = self.client_address().rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            preface = chance.choice([b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
            try:
                connection.sendall(preface + chance.randbytes(chance.randint(1, 4096)))
            except OSError:  # the server need not read all of it
                pass

    def client_address(self) -> str:
        return (self.folder / "address").read_text().strip()

    def upload(self, chance: random.Random, number: int) -> list[str | None]:
        messages = list(chance.choice(self.uploads))
        whole = chance.random() < 0.1
        for _ in range(0 if whole else chance.randint(1, 2)):
            at = chance.randrange(len(messages))
            header, body = messages[at]
            if chance.random() < 0.6 or not body:
                header = mutate.changed_bytes(chance, header)
            else:
                # lengths of compressed buffers are their first eight bytes
                body = mutate.changed_bytes(chance, body[: 1 << 16]) + body[1 << 16 :]
            messages[at] = (header, body)
        if not whole and chance.random() < 0.1:
            chance.shuffle(messages)
        if not whole and chance.random() < 0.1:
            messages += [chance.choice(messages)] * chance.choice([1, 50, 2000])
        table = f"t{number % 5}"
        if chance.random() < 0.5:
            command = flight.ingest_command(table)
        else:
            try:
                handle = self.client.prepare(b"select $1 + 1 as a")
            except grpc.RpcError as error:
                return [verdict(error)[1]]
            command = flight.prepared_command(handle)
        data = [flight.flight_data(header, body, flight.descriptor(command) if n == 0 else b"") for n, (header, body) in enumerate(messages)]
        what = f"an upload of {len(messages)} messages, {sum(map(len, data))} bytes"
        found = [self.call(what, self.client.upload, data)]
        # what was taken can be read
        sql = f"select * from scratch.{table}" if command == flight.ingest_command(table) else None
        found.append(self.call(f"{what}, then its rows", self.client.rows, flight.query_command(sql.encode()) if sql else command))
        return found

    def file(self, chance: random.Random, number: int) -> list[str | None]:
        kind = chance.choice(list(corpus.ENDINGS))
        data = changed_file(chance, self.files[kind])
        slot = chance.randrange(SLOTS)
        put(self.folder, kind, slot, data, in_place=chance.random() < 0.1)
        table = f"{kind}_{slot}"
        whole = [f"select * from {table}", f"select count(*) from {table}", f"select max(a), count(*) from {table}"]
        columns = [f"select s, count(*) from {table} group by s order by 2 desc limit 5", f"select max(length(s)), min(x) from {table} where a > 5"]
        asked = [chance.choice(whole), chance.choice(columns)]
        what = f"{table}, {len(data)} bytes"
        return [self.call(f"{what}: {sql}", self.client.rows, flight.query_command(sql.encode())) for sql in asked]


def shown(sql: str) -> str:
    return sql if len(sql) < 400 else f"{sql[:200]} ... {sql[-100:]} ({len(sql)} characters)"


def changed_file(chance: random.Random, files: list[bytes]) -> bytes:
    data = chance.choice(files)
    if chance.random() < 0.1:
        return data
    if chance.random() < 0.6 and len(data) > 100:
        # the end of a Parquet or Arrow file is its magic number, without which nothing is read
        return mutate.changed_bytes(chance, data[:-10], tail=800, keeps_length=True) + data[-10:]
    return mutate.changed_bytes(chance, data, tail=800)


def path_of(folder: pathlib.Path, kind: str, slot: int) -> pathlib.Path:
    return folder / "files" / f"{kind}_{slot}.{corpus.ENDINGS[kind]}"


def put(folder: pathlib.Path, kind: str, slot: int, data: bytes, in_place: bool) -> None:
    path = path_of(folder, kind, slot)
    if in_place:
        path.write_bytes(data)
        return
    beside = path.with_suffix(".new")
    beside.write_bytes(data)
    beside.replace(path)


def attack(kind: str, seed: int, first: int, address: str, folder: pathlib.Path, end: float, findings, results) -> None:
    """One attacker: a process of its own."""
    os.nice(10)
    attacker = Attacker(kind, seed, address, folder)
    number = first
    while time.time() < end:
        (folder / f"case-{kind}").write_text(str(number))
        try:
            wrong = attacker.run(number)
        except Exception as error:  # a fault of the attacker ends the campaign and is no finding of the server
            wrong = [f"the attacker failed: {type(error).__name__}: {error}"]
        for text in wrong:
            findings.put((kind, number, text))
        number += 1
    results.put((kind, number - first, dict(attacker.counts)))


def probe(address: str, end: float, findings, results) -> None:
    """The other client: `select 1`, again and again."""
    client = flight.Client(address, CALL_S)
    times: list[float] = []
    # the first call opens the connection
    client.rows(flight.query_command(b"select 1 as one"))
    while time.time() < end:
        started = time.monotonic()
        try:
            rows = flight.table_of(client.rows(flight.query_command(b"select 1 as one"))).to_pylist()
            if rows != [{"one": 1}]:
                findings.put(("select 1", len(times), f"rows {rows}"))
        except (grpc.RpcError, pyarrow.ArrowException) as error:
            findings.put(("select 1", len(times), f"{error}"[:500]))
        times.append(time.monotonic() - started)
        time.sleep(PROBE_PAUSE_S)
    results.put(("select 1", len(times), times))


def prepare(folder: pathlib.Path, seed: int) -> None:
    """The project: its configuration and a first file for each table."""
    (folder / "files").mkdir()
    files = corpus.files(seed)
    config = [CONFIG]
    for kind, ending in corpus.ENDINGS.items():
        for slot in range(SLOTS):
            config.append(f'[tables.{kind}_{slot}]\npath = "{path_of(folder, kind, slot)}"\n')
            put(folder, kind, slot, files[kind][slot % len(files[kind])], in_place=False)
    (folder / "cxql.toml").write_text("\n".join(config))


def share(times: list[float], part: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def printed_log(text: str) -> list[str]:
    """Lines of the log that no attack may cause."""
    return [line for line in text.splitlines() if re.search(r"panicked|a fault of|overflowed its stack|memory allocation of", line)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cxql")
    parser.add_argument("--seed", type=int, default=None, help="default: another one each day")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--only", metavar="KIND[:NUMBER]", help="one kind, or one case of it")
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--peak", type=int, default=1536, help="MiB that the process may have resident")
    parser.add_argument("--address-space", type=int, default=8192, help="MiB of `ulimit -v`")
    parser.add_argument("--p99-ms", type=float, default=200, help="99 of 100 `select 1` are answered within")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(time.strftime("%Y%m%d"))
    only, _, number = (options.only or "").partition(":")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cxql-hostile-"))
    prepare(folder, seed)
    server = Server(str(pathlib.Path(options.cxql).resolve()), folder, DATA, options.memory, options.address_space * MIB)
    wrong: list[str] = []
    if number:
        attacker = Attacker(only, seed, server.address, folder)
        wrong += attacker.run(int(number))
        print(dict(attacker.counts))
    else:
        wrong += campaign(server, folder, seed, options, [only] if only else list(KINDS))
    if not server.is_running():
        wrong.append(f"the server has ended with {server.process.returncode}; the last cases were {cases(folder)}\n{server.text()[-1500:]}")
    else:
        code = server.stop()
        if code != 0:
            wrong.append(f"the server was stopped and ended with {code}")
    wrong += [f"log: {line[:400]}" for line in printed_log(server.text())[:20]]
    peak, space = server.peak // MIB, server.peak_address_space // MIB
    print(f"memory: {peak} MiB resident at most (bound {options.peak}), {space} MiB of address space, {server.threads} threads")
    if peak > options.peak:
        wrong.append(f"{peak} MiB resident, at most {options.peak} are allowed; the cases were {server.cases_at_peak}")
    for text in wrong:
        print(f"FINDING {text}", flush=True)
    print(f"{len(wrong)} findings")
    if options.keep or wrong:
        print(f"folder: {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if wrong else 0


def campaign(server: Server, folder: pathlib.Path, seed: int, options, kinds: list[str]) -> list[str]:
    context = multiprocessing.get_context("spawn")
    findings, results = context.Queue(), context.Queue()
    # processes start and files are made first
    end = time.time() + options.minutes * 60 + 5
    prober = context.Process(target=probe, args=(server.address, end, findings, results))
    attackers = [context.Process(target=attack, args=(kind, seed, 0, server.address, folder, end, findings, results)) for kind in kinds]
    processes = [prober, *attackers]
    for process in processes:
        process.start()
    wrong, done, seen = [], {}, collections.Counter()
    limit = end + CALL_S * 3
    while len(done) < len(processes) and time.time() < limit and server.is_running():
        try:
            kind, number, result = results.get(timeout=0.5)
            done[kind] = (number, result)
        except queue.Empty:
            pass
        while True:
            try:
                kind, number, text = findings.get_nowait()
            except queue.Empty:
                break
            # findings of the same words are one
            words = re.sub(r"[0-9a-f]{4,}|\d+", "0", text.split("\n")[-1])[:80]
            seen[words] += 1
            if seen[words] <= 2:
                wrong.append(f"{kind}:{number} {text}\n  again: campaign.py CXQL --seed {seed} --only {kind}:{number}")
    for process in processes:
        if server.is_running():
            process.join(10)
        if process.is_alive():
            process.kill()
    missing = {process for process in ("select 1", *kinds)} - done.keys()
    if missing and server.is_running():
        wrong.append(f"no end of {sorted(missing)}")
    wrong += [f"{count} times: {words}" for words, count in seen.items() if count > 2]
    for kind in kinds:
        if kind in done:
            number, counts = done[kind]
            print(f"{kind}: {number} cases; " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    if "select 1" in done:
        number, times = done["select 1"]
        late = share(times, 0.99) * 1000
        print(f"select 1: {number} times, median {share(times, 0.5) * 1000:.0f} ms, p99 {late:.0f} ms, longest {max(times) * 1000:.0f} ms")
        if late > options.p99_ms:
            wrong.append(f"p99 of `select 1` is {late:.0f} ms, at most {options.p99_ms:.0f} are allowed")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
