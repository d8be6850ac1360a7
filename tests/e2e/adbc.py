"""The ADBC driver for Flight SQL, by its DBAPI, with pandas and polars.

usage: adbc.py HOST:PORT
"""

import datetime
import decimal
import sys
import threading
import time

import adbc_driver_flightsql.dbapi as flight
import adbc_driver_manager
import polars
import pyarrow

from checks import Checks, raises, same

check = Checks()
address = f"grpc://{sys.argv[1]}"


def connect():
    # there are no transactions to commit
    return flight.connect(address, autocommit=True)


connection = connect()


def rows(sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


@check("connect and query")
def _():
    same(rows("select 1 as a, 'x' as b"), [(1, "x")])


@check("empty result")
def _():
    with connection.cursor() as cursor:
        cursor.execute("select topic, wait_s from interactions where 1 = 0")
        table = cursor.fetch_arrow_table()
    same((table.num_rows, table.column_names), (0, ["topic", "wait_s"]))


@check("types")
def _():
    got = rows(
        "select true as a, cast(1 as smallint) as b, 2 as c, 1.5 as d, cast('3.25' as decimal(10, 2)) as e, 'text' as f, "
        "x'00ff' as g, date '2025-01-31' as h, timestamp '2025-01-31 09:00:00' as i, [1, null] as j, {x: 1} as k, "
        "null as l, arrow_cast('coded', 'Dictionary(Int32, Utf8)') as m, arrow_cast('view', 'Utf8View') as n"
    )
    wanted = (
        True, 1, 2, 1.5, decimal.Decimal("3.25"), "text", b"\x00\xff", datetime.date(2025, 1, 31),
        datetime.datetime(2025, 1, 31, 9), [1, None], {"x": 1}, None, "coded", "view",
    )
    same(got, [wanted])


@check("schema without running")
def _():
    with connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("select topic, wait_s from interactions")
    same(schema.names, ["topic", "wait_s"])
    same(schema.field("topic").type, pyarrow.string())


@check("prepared statement, 12 parameters")
def _():
    sql = "select " + " || ',' || ".join(["?"] * 12)
    values = [f"v{number}" for number in range(12)]
    same(rows(sql, values), [(",".join(values),)])


@check("parameters $1 and types")
def _():
    sql = "select count(*) from interactions where wait_s > $2 and channel = $1 and started_at >= $3"
    at = datetime.datetime(2025, 6, 1, tzinfo=datetime.timezone.utc)
    june = "started_at >= timestamptz '2025-06-01T00:00:00Z'"
    wanted = rows(f"select count(*) from interactions where wait_s > 30 and channel = 'phone' and {june}")
    same(rows(sql, ["phone", 30, at]), wanted)
    with connection.cursor() as cursor:
        cursor.adbc_prepare(sql)
        schema = cursor.adbc_statement.get_parameter_schema()
    wanted = [pyarrow.string(), pyarrow.int64(), pyarrow.timestamp("ms", "UTC")]
    same([field.type for field in pyarrow.schema(schema)], wanted)


def divides(condition, values, literal):
    """A condition with parameters finds the rows of one without, which are some and not all."""
    [(wanted, total)] = rows(f"select count(*), (select count(*) from interactions) from interactions where {literal}")
    if not 0 < wanted < total:
        raise AssertionError(f"{literal} does not divide the rows")
    got = rows(f"select count(*) from interactions where {condition}", values)[0][0]
    if got != wanted:
        raise AssertionError(f"{condition} with {values}: got {got}, wanted {wanted}")


@check("parameters of each type")
def _():
    june = "started_at >= timestamptz '2025-06-01T00:00:00Z'"
    utc = datetime.timezone.utc
    at, day = datetime.datetime(2025, 6, 1, tzinfo=utc), datetime.timedelta(days=1)
    for value in (30, 30.0, 30.5, decimal.Decimal("30.5"), "30", "30.5"):
        divides("wait_s > ?", [value], "wait_s > 30")
    divides("wait_s < ?", [5 * 10**12], "wait_s is not null")
    divides("wait_s < ?", [decimal.Decimal(10) ** 30], "wait_s is not null")
    for value in (at, datetime.datetime(2025, 6, 1), datetime.date(2025, 6, 1), "2025-06-01", "2025-06-01T02:00:00+02:00"):
        divides("started_at >= ?", [value], june)
    for value in (datetime.date(2025, 6, 1), datetime.datetime(2025, 6, 1), "2025-06-01"):
        divides("cast(started_at as date) >= ?", [value], june)
    divides("channel = ?", ["phone"], "channel = 'phone'")
    divides("is_resolved = ?", [False], "not is_resolved")
    divides("started_at >= ? - interval '1 day'", [at + day], june)
    divides("started_at >= ? - ?", [at + day, day], june)
    divides("started_at between ? and ? + interval '1 day'", [at, at],
            "started_at between timestamptz '2025-06-01T00:00:00Z' and timestamptz '2025-06-02T00:00:00Z'")
    divides("started_at >= date_trunc('day', ?)", [at + day / 2], june)
    times = "(values (time '09:30:00'), (time '12:30:00'), (time '18:00:00')) t(at)"
    same(rows(f"select count(*) from {times} where at > ?", [datetime.time(12)]), [(2,)])
    same(rows("select count(*) from generate_series(1, ?)", [3]), [(3,)])


@check("a fraction for an integer")
def _():
    for value in (30.5, decimal.Decimal("30.5"), "30.5"):
        same(rows("select count(*) from interactions where wait_s = ?", [value]), [(0,)])


@check("values of another kind are refused")
def _():
    raises(lambda: rows("select count(*) from interactions where is_resolved = ?", [2]), "parameter $1: boolean is wanted, got bigint 2")
    raises(lambda: rows("select count(*) from interactions where started_at >= ?", [2025]), "parameter $1", "got bigint 2025")
    raises(lambda: rows("select * from surveys limit ?", [1.5]), "parameter $1: bigint is wanted, got double 1.5")


@check("parameters by name")
def _():
    batch = pyarrow.record_batch({"most": [3], "least": [2]})
    same(rows("select x from generate_series(1, 10) a(x) where x >= $least and x <= $most order by x", batch), [(2,), (3,)])


@check("NULL as a parameter")
def _():
    wanted = rows("select count(*) from interactions where topic = 'billing'")
    same(rows("select count(*) from interactions where wait_s = ? or (? is null and topic = 'billing')", [None, None]), wanted)


@check("rows of parameters")
def _():
    batch = pyarrow.record_batch({"0": [1, 2, 3]})
    same(rows("select ? * 10 as x", batch), [(10,), (20,), (30,)])


@check("large result")
def _():
    with connection.cursor() as cursor:
        cursor.execute("select x, repeat('abcdefghij', 20) as t from generate_series(1, 200000) a(x)")
        count = sum(batch.num_rows for batch in cursor.fetch_record_batch())
    same(count, 200_000)


@check("compressed result")
def _():
    options = {"adbc.flight.sql.rpc.call_header.x-cxql-compression": "zstd"}
    with flight.connect(address, db_kwargs=options, autocommit=True) as compressed:
        with compressed.cursor() as cursor:
            cursor.execute("select x from generate_series(1, 100000) a(x)")
            same(cursor.fetch_arrow_table().num_rows, 100_000)


def objects(depth, **filters):
    return connection.adbc_get_objects(depth=depth, **filters).read_all().to_pylist()


def tables(catalogs, schema):
    found = {each["db_schema_name"]: each for each in catalogs[0]["catalog_db_schemas"]}
    return {table["table_name"]: table for table in found[schema]["db_schema_tables"]}


@check("catalogs")
def _():
    same([each["catalog_name"] for each in objects("catalogs")], ["cxql"])


@check("schemas")
def _():
    schemas = [each["db_schema_name"] for each in objects("db_schemas")[0]["catalog_db_schemas"]]
    same(sorted(schemas), ["information_schema", "public", "reports", "system"])


@check("tables and views")
def _():
    found = tables(objects("tables"), "public")
    same((found["interactions"]["table_type"], found["contacts_clean"]["table_type"]), ("TABLE", "VIEW"))
    found = tables(objects("tables", db_schema_filter="public", table_name_filter="agent\\_%"), "public")
    same(sorted(found), ["agent_names", "agent_states"])
    found = objects("tables", db_schema_filter="public", table_types_filter=["TABLE"])
    same({table["table_type"] for table in tables(found, "public").values()}, {"TABLE"})
    # as Grafana's plugin asks
    for name in ("BASE TABLE", "table"):
        same(tables(objects("tables", db_schema_filter="public", table_types_filter=[name]), "public"), tables(found, "public"))


@check("columns")
def _():
    found = tables(objects("all", table_name_filter="surveys", column_name_filter="s%"), "public")
    columns = {column["column_name"]: column for column in found["surveys"]["table_columns"]}
    same(sorted(columns), ["score", "survey_id"])
    same(columns["score"]["xdbc_type_name"], "INTEGER")


@check("columns of every table")
def _():
    found = objects("all")
    for schema in ("public", "reports", "information_schema", "system"):
        for name, table in tables(found, schema).items():
            if not table["table_columns"]:
                raise AssertionError(f"{schema}.{name} has no columns")


@check("one table's schema")
def _():
    schema = connection.adbc_get_table_schema("surveys", db_schema_filter="public")
    same(schema.field("score").type, pyarrow.int32())


@check("table types")
def _():
    same({"TABLE", "VIEW"} - set(connection.adbc_get_table_types()), set())


@check("server information")
def _():
    info = connection.adbc_get_info()
    same(info["vendor_name"], "cxql")
    same(info["vendor_version"].count("."), 2)


@check("error with its place")
def _():
    error = raises(lambda: rows("select 1,\n  colour from surveys"), "there is no column `colour`", "<query>:2:3")
    same(isinstance(error, adbc_driver_manager.ProgrammingError), True)
    same(error.status_code, adbc_driver_manager.AdbcStatusCode.NOT_FOUND)


@check("writing is refused")
def _():
    for sql in ("insert into surveys values (1)", "create table t as select 1", "set datafusion.execution.batch_size = 1"):
        error = raises(lambda sql=sql: rows(sql), "only reads")
        same(error.status_code, adbc_driver_manager.AdbcStatusCode.UNAUTHORIZED)
    with connection.cursor() as cursor:
        data = pyarrow.table({"a": [1]})
        raises(lambda: cursor.adbc_ingest("t", data, mode="create", db_schema_name="public"), "scratch")


@check("bring a table")
def _():
    with connection.cursor() as cursor:
        data = pyarrow.table({"queue": ["sales", None], "goal": [0.75, 0.5]})
        same(cursor.adbc_ingest("goals", data, mode="create"), 2)
        same(cursor.adbc_ingest("goals", data, mode="append"), 2)
        error = raises(lambda: cursor.adbc_ingest("goals", data, mode="create"), "there already")
        same(error.status_code, adbc_driver_manager.AdbcStatusCode.ALREADY_EXISTS)
        other = pyarrow.table({"queue": [1]})
        error = raises(lambda: cursor.adbc_ingest("goals", other, mode="append"), "2 columns are wanted, got 1")
        same(error.status_code, adbc_driver_manager.AdbcStatusCode.ALREADY_EXISTS)
    same(rows("select count(*), count(queue), sum(goal) from scratch.goals"), [(4, 2, 2.5)])
    with connection.cursor() as cursor:
        cursor.adbc_ingest("goals", data, mode="replace")
    same(rows("select count(*) from scratch.goals"), [(2,)])


@check("session options")
def _():
    # with cookies the session is this connection's alone
    options = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with flight.connect(address, db_kwargs=options, autocommit=True) as own:
        with own.cursor() as cursor:
            cursor.adbc_ingest("mine", pyarrow.table({"a": [1, 2]}), mode="create")
        native, prefix = own.adbc_connection, "adbc.flight.sql.session.option."
        native.set_options(**{prefix + "time_zone": "Asia/Shanghai", prefix + "schema": "reports"})
        same(native.get_option(prefix + "time_zone"), "Asia/Shanghai")
        with own.cursor() as cursor:
            # 17:00 in Greenwich is the next day in Shanghai; the report is found without its schema
            cursor.execute("select cast(timestamptz '2025-03-01T17:00:00Z' as date), (select count(*) from fcr_by_topic) > 1")
            same(cursor.fetchall(), [(datetime.date(2025, 3, 2), True)])
            # a table that was brought before the options were set
            cursor.execute("select sum(a) from scratch.mine")
            same(cursor.fetchall(), [(3,)])
        raises(lambda: native.set_options(**{prefix + "time_zone": "Mars"}))
    same(rows("select cast(timestamptz '2025-03-01T17:00:00Z' as date)"), [(datetime.date(2025, 3, 1),)])


@check("the schema in the address")
def _():
    options = {"adbc.flight.sql.rpc.call_header.x-cxql-schema": "reports"}
    with flight.connect(address, db_kwargs=options, autocommit=True) as own, own.cursor() as cursor:
        cursor.execute("select count(*) > 0 from kpi_overview")
        same(cursor.fetchall(), [(True,)])


@check("timestamps in UTC without a time zone")
def _():
    options = {"adbc.flight.sql.rpc.call_header.x-cxql-timestamps": "utc"}
    with flight.connect(address, db_kwargs=options, autocommit=True) as own, own.cursor() as cursor:
        cursor.execute("select min(started_at) from interactions")
        same(cursor.fetch_arrow_table().schema.field(0).type, pyarrow.timestamp("us"))


@check("Grafana's time series")
def _():
    # its plugin takes timestamps for nanoseconds whatever their unit is, and knows no smaller integers, dates or decimals
    sql = (
        "select date_trunc('day', started_at)::timestamptz as time, queue, count(*) as contacts, avg(wait_s) as wait_s "
        "from interactions where started_at >= '2025-06-01T00:00:00Z' and started_at <= '2025-06-08T00:00:00Z' "
        "group by 1, 2 order by 1, 2"
    )
    bins = "select date_bin(interval '3600 second', started_at, timestamp '1970-01-01T00:00:00Z')::timestamptz as time from interactions limit 1"
    known = {pyarrow.string(), pyarrow.int64(), pyarrow.float64()}
    with connection.cursor() as cursor:
        cursor.execute(sql)
        table = cursor.fetch_arrow_table()
        cursor.execute(bins)
        same(cursor.fetch_arrow_table().schema.field(0).type, pyarrow.timestamp("ns", "UTC"))
    same(table.schema.field("time").type, pyarrow.timestamp("ns", "UTC"))
    same({field.type for field in table.schema if field.name != "time"} - known, set())
    if table.num_rows < 7 or table.column("time").null_count:
        raise AssertionError(f"no series: {table}")


@check("cancel")
def _():
    with connect() as other, other.cursor() as cursor:
        cursor.execute("select x from generate_series(1, 1000000000000) a(x)")
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        timer = threading.Timer(0.2, cursor.adbc_cancel)
        timer.start()
        started = time.monotonic()
        raises(lambda: [None for _ in reader])
        timer.join()
        if time.monotonic() - started > 20:
            raise AssertionError("the query went on")
    same(rows("select 1"), [(1,)])


@check("pandas")
def _():
    with connection.cursor() as cursor:
        cursor.execute("select topic, count(*) as n from interactions group by topic order by topic nulls first")
        frame = cursor.fetch_df()
    same(list(frame.columns), ["topic", "n"])
    same(int(frame["n"].sum()), rows("select count(*) from interactions")[0][0])


@check("polars")
def _():
    frame = polars.read_database("select * from interactions order by interaction_id limit 100", connection)
    same((frame.height, frame.schema["started_at"]), (100, polars.Datetime("us", "UTC")))


@check("reports")
def _():
    same(len(rows("select * from reports.fcr_by_topic")) > 1, True)


connection.close()
check.end()
