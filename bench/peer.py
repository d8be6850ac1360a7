"""One answer of a peer, in a process of its own: `peer.py ENGINE DATA THREADS MEMORY FILE OUT`.

ENGINE is duckdb, clickhouse (chdb), datafusion, polars or polars-streaming. FILE is SQL, whose statements before the last one
are settings, or Python with `answer(engine)`: the connection, session or context, for Polars the function that scans
a table. SQL for DuckDB may have a line `-- clock`: all statements below it are timed, and each query among them is a section of
the result. `-- read: FILE` as the first line puts another file before it. Prints the seconds from the question to its complete
result. Imports, settings, views, the opening of tables and a first `select 1` stand before the clock, writing the result to OUT
(CSV, for the comparison) after it. `sentiment` is the package vaderSentiment over one text a line.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path

TABLES = ("interactions", "surveys", "customers", "orders", "events", "agents")


def tables(data):
    for name in TABLES:
        folder = Path(data) / name
        yield name, str(folder / "*.parquet") if folder.is_dir() else f"{folder}.parquet"


def load(file):
    """The file as a module that has a name, so that its functions can be sent to other processes."""
    spec = importlib.util.spec_from_file_location("question", file)
    module = sys.modules["question"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


READ, CLOCK = "-- read: ", "-- clock\n"


def text_of(file):
    text = file.read_text()
    if text.startswith(READ):
        name, text = text.removeprefix(READ).split("\n", 1)
        text = text_of(file.parent / name) + text
    return text


def statements(text):
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]


class Question:
    def __init__(self, file):
        self.answer = self.sql = self.timed = None
        self.settings = []
        if file.suffix == ".py":
            self.answer = load(file).answer
            return
        text = text_of(file)
        if CLOCK in text:
            before, after = text.split(CLOCK)
            self.settings, self.timed = statements(before), statements(after)
        else:
            *self.settings, self.sql = statements(text)


def duckdb(question, data, threads, memory):
    import duckdb
    import pyarrow  # noqa: F401  to_arrow_table would import it within the clock

    config = {"threads": threads} | ({"memory_limit": memory} if memory != "-" else {})
    connection = duckdb.connect(config=config)
    connection.execute("set TimeZone = 'UTC'")
    for table, path in tables(data):
        connection.execute(f"create view {table} as select * from read_parquet('{path}')")
    for setting in question.settings:
        connection.execute(setting)
    connection.sql("select 1").to_arrow_table()
    start = time.perf_counter()
    if question.answer:
        result = question.answer(connection)
    elif question.timed:
        result = [answer for statement in question.timed if (answer := duckdb_statement(connection, statement))]
    else:
        result = connection.sql(question.sql).to_arrow_table()
    return time.perf_counter() - start, result


def duckdb_statement(connection, statement):
    """The rows of a query; None after any other statement."""
    if statement.startswith(("select", "with", "from")):
        return connection.sql(statement).to_arrow_table()
    connection.execute(statement)
    return None


def clickhouse(question, data, threads, memory):
    import os

    import pyarrow  # noqa: F401
    from chdb import session

    os.chdir(data)  # so that a question may say file('interactions/*.parquet', Parquet, 'its own types')
    client = session.Session()
    client.query("create database bench")
    client.query("use bench")
    client.query(f"set max_threads = {threads}")
    if memory != "-":
        client.query(f"set max_memory_usage = {memory}")
    for setting in question.settings:
        client.query(setting)
    for table, path in tables(data):
        client.query(f"create view {table} as select * from file('{path}', Parquet)")
    client.query("select 1", "ArrowTable")
    start = time.perf_counter()
    result = question.answer(client) if question.answer else client.query(question.sql, "ArrowTable")
    return time.perf_counter() - start, result


def datafusion(question, data, threads, memory):
    import pyarrow
    from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext

    runtime = RuntimeEnvBuilder()
    if memory != "-":
        runtime = runtime.with_fair_spill_pool(int(memory))
    context = SessionContext(SessionConfig().with_target_partitions(threads), runtime)
    for setting in question.settings:
        context.sql(setting)
    for table, path in tables(data):
        context.register_parquet(table, path.removesuffix("*.parquet"))
    context.sql("select 1").collect()
    start = time.perf_counter()
    frame = question.answer(context) if question.answer else context.sql(question.sql)
    batches = frame.collect()
    return time.perf_counter() - start, pyarrow.Table.from_batches(batches, schema=frame.schema())


def polars(question, data, engine):
    import polars

    paths = dict(tables(data))
    polars.select(1).lazy().collect(engine=engine)
    start = time.perf_counter()
    frame = question.answer(lambda table: polars.scan_parquet(paths[table]))
    if isinstance(frame, polars.LazyFrame):
        frame = frame.collect(engine=engine)
    return time.perf_counter() - start, frame


def vader_scores(texts, out):
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    lines = Path(texts).read_text(encoding="utf-8").split("\n")
    start = time.perf_counter()
    scores = [analyzer.polarity_scores(line)["compound"] for line in lines]
    seconds = time.perf_counter() - start
    Path(out).write_text("\n".join(map(str, scores)))
    return seconds


def write(result, out):
    """CSV; several sections as `cxql run` writes them into a pipe."""
    if not isinstance(result, list):
        return write_table(result, out)
    with open(out, "wb") as file:
        for number, section in enumerate(result, 1):
            file.write(f"# {number}\n".encode())
            write_table(section, file)
            file.write(b"\n")


def write_table(result, out):
    import pyarrow
    import pyarrow.csv

    # the writer of CSV knows neither views nor dictionaries
    odd = pyarrow.types.is_string_view, pyarrow.types.is_binary_view, pyarrow.types.is_dictionary
    text = pyarrow.string()
    plain = [field.with_type(text) if any(test(field.type) for test in odd) else field for field in result.schema]
    pyarrow.csv.write_csv(result.cast(pyarrow.schema(plain)), out)


def main():
    engine, data, threads, memory, file, out = sys.argv[1:]
    if engine == "sentiment":
        seconds = vader_scores(data, out)
    elif engine.startswith("polars"):
        kind = "streaming" if engine == "polars-streaming" else "in-memory"
        seconds, frame = polars(Question(Path(file)), data, kind)
        frame.write_csv(out)
    else:
        run = {"duckdb": duckdb, "clickhouse": clickhouse, "datafusion": datafusion}[engine]
        seconds, result = run(Question(Path(file)), data, int(threads), memory)
        write(result, out)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
