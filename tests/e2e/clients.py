"""Connects real clients to `cxql serve` and compares what they can do with the table in docs/clients.md.

usage: clients.py CXQL DATA JDBC_JAR

The table is made by this program: UPDATE_DOCS=1 writes it, without that a difference is a failure.
"""

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).parent
DOCS = HERE.parent.parent / "docs" / "clients.md"
BEGIN, END = "<!-- made by tests/e2e/clients.py -->", "<!-- end -->"

# nothing takes longer on two busy cores
LIMIT_S = 600


class Server:
    """`cxql serve` over the data, on a free port."""

    def __init__(self, program, data, folder):
        pathlib.Path(folder, "cxql.toml").write_text('[keys]\nsurveys = ["survey_id"]\n')
        command = [program, "serve", "--project", folder, "--data", data, "--listen", "127.0.0.1:0", "--allow-ingest"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"grpc://([\d.:]+)", line):
                self.address = found.group(1)
                break
        else:
            raise RuntimeError("the server did not start: " + "".join(self.log))
        # a pipe that nobody reads would stop the server
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(60)
        if code != 0:
            raise RuntimeError(f"the server ended with {code}: " + "".join(self.log))


def run(name, command):
    """The results of a client's calls."""
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT_S)
    results = dict(line.split("\t", 1) for line in ran.stdout.splitlines() if "\t" in line)
    for call, result in results.items():
        is_known = result == "yes" or result.startswith("no: ")
        print(f"{'ok   ' if is_known else 'FAIL '} {name}: {call}{'' if result == 'yes' else ': ' + result}")
    if ran.returncode != 0 or not results:
        print(ran.stderr[-4000:])
    return results, ran.returncode == 0 and bool(results)


def table(clients):
    calls = []
    for results in clients.values():
        calls.extend(call for call in results if call not in calls)
    lines = ["| call | " + " | ".join(clients) + " |", "|---|" + "---|" * len(clients)]
    for call in calls:
        cells = [results.get(call, "") for results in clients.values()]
        lines.append(f"| {call} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    program, data, jar = sys.argv[1:4]
    version = importlib.metadata.version
    jdbc = re.search(r"([\d.]+)\.jar$", jar).group(1)
    java = ["java", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp", jar, str(HERE / "Jdbc.java")]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, data, folder)
        python = lambda name: [sys.executable, str(HERE / name), server.address]
        commands = {
            f"ADBC {version('adbc-driver-flightsql')}": [python("adbc.py"), python("dbapi.py")],
            f"JDBC {jdbc}": [[*java, server.address]],
            f"SQLAlchemy, flightsql-dbapi {version('flightsql-dbapi')}": [python("alchemy.py"), python("superset_sql.py")],
        }
        clients, passed = {}, True
        for name, programs in commands.items():
            clients[name] = {}
            for command in programs:
                results, ok = run(name, command)
                clients[name].update(results)
                passed &= ok
        server.stop()
    made = f"{BEGIN}\n\n{table(clients)}\n\n{END}"
    text = DOCS.read_text()
    begin, end = text.index(BEGIN), text.index(END) + len(END)
    if text[begin:end] != made:
        if os.environ.get("UPDATE_DOCS"):
            DOCS.write_text(text[:begin] + made + text[end:])
        else:
            print(f"FAIL  {DOCS.name} shows another table; UPDATE_DOCS=1 writes it:\n{made}")
            passed = False
    print(f"{sum(len(results) for results in clients.values())} calls of {len(clients)} clients")
    sys.exit(0 if passed else 1)


main()
