"""One query in a peer, in a process of its own: `peer.py ENGINE DATA THREADS MEMORY SQLFILE OUT`.

Prints the seconds from the query's text to its complete result; opening the tables stands before the clock, writing
the result to OUT (CSV, for the comparison) after it. `sentiment` is the vaderSentiment package over one text a line.
"""

import json
import sys
import time
from pathlib import Path


def duckdb_query(data, threads, memory, sql):
    import duckdb
    import pyarrow  # noqa: F401  to_arrow_table would import it within the clock

    config = {"threads": threads} | ({"memory_limit": memory} if memory != "-" else {})
    connection = duckdb.connect(config=config)
    connection.execute("set TimeZone = 'UTC'")
    for table, path in tables(data):
        connection.execute(f"create view {table} as select * from read_parquet('{path}')")
    start = time.perf_counter()
    result = connection.sql(sql).to_arrow_table()
    return time.perf_counter() - start, result


def datafusion_query(data, threads, memory, sql):
    import pyarrow
    from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext

    runtime = RuntimeEnvBuilder()
    if memory != "-":
        runtime = runtime.with_fair_spill_pool(int(memory))
    context = SessionContext(SessionConfig().with_target_partitions(threads), runtime)
    for table, path in tables(data):
        context.register_parquet(table, path.removesuffix("*.parquet"))
    start = time.perf_counter()
    frame = context.sql(sql)
    batches = frame.collect()
    seconds = time.perf_counter() - start
    return seconds, pyarrow.Table.from_batches(batches, schema=frame.schema())


def tables(data):
    for name in ("interactions", "surveys"):
        folder = Path(data) / name
        yield name, str(folder / "*.parquet") if folder.is_dir() else f"{folder}.parquet"


def vader_scores(texts, out):
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    lines = Path(texts).read_text(encoding="utf-8").split("\n")
    start = time.perf_counter()
    scores = [analyzer.polarity_scores(line)["compound"] for line in lines]
    seconds = time.perf_counter() - start
    Path(out).write_text("\n".join(map(str, scores)))
    return seconds


def main():
    engine, data, threads, memory, sql_file, out = sys.argv[1:]
    if engine == "sentiment":
        seconds = vader_scores(data, out)
    else:
        run = {"duckdb": duckdb_query, "datafusion": datafusion_query}[engine]
        seconds, table = run(data, int(threads), memory, Path(sql_file).read_text())
        import pyarrow
        import pyarrow.csv

        views = (pyarrow.string_view(), pyarrow.binary_view())
        plain = [field.with_type(pyarrow.string()) if field.type in views else field for field in table.schema]
        pyarrow.csv.write_csv(table.cast(pyarrow.schema(plain)), out)
    print(json.dumps({"seconds": seconds}))


main()
