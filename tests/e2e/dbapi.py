"""The calls of Python's DB-API and of ADBC, as the public tests of the ADBC driver manager make them.

usage: dbapi.py HOST:PORT
"""

import datetime
import decimal
import sys

import adbc_driver_flightsql.dbapi as flight
import pyarrow
from adbc_driver_manager import AdbcStatusCode

from checks import Checks, raises, same

check = Checks()
address = f"grpc://{sys.argv[1]}"
connection = flight.connect(address, autocommit=True)


@check("DB-API: description and rowcount")
def _():
    with connection.cursor() as cursor:
        same((cursor.description, cursor.rowcount, cursor.arraysize), (None, -1, 1))
        cursor.execute("select 1 as a, 'x' as b, 1.5 as c")
        same([column[0] for column in cursor.description], ["a", "b", "c"])
        same(cursor.rowcount, -1)
        same([column[1] for column in cursor.description], [pyarrow.int64(), pyarrow.string(), pyarrow.float64()])


@check("DB-API: fetchone, fetchmany, fetchall, iteration")
def _():
    with connection.cursor() as cursor:
        cursor.execute("select x from generate_series(1, 10) a(x) order by x")
        same(cursor.fetchone(), (1,))
        same(cursor.rownumber, 1)
        same(cursor.fetchmany(), [(2,)])
        same(cursor.fetchmany(3), [(3,), (4,), (5,)])
        same(next(cursor), (6,))
        same(list(cursor), [(7,), (8,), (9,), (10,)])
        same((cursor.fetchone(), cursor.fetchmany(2), cursor.fetchall()), (None, [], []))


@check("DB-API: values of each type")
def _():
    values = {
        "null": None, "true": True, "cast(-5 as tinyint)": -5, "cast(300 as smallint)": 300, "cast(7 as integer)": 7,
        "9223372036854775807": 2**63 - 1, "cast(1.5 as real)": 1.5, "cast('1.25' as decimal(5, 2))": decimal.Decimal("1.25"),
        "'Zürich'": "Zürich", "x'00ff'": b"\x00\xff", "date '2025-06-01'": datetime.date(2025, 6, 1),
        "time '01:02:03'": datetime.time(1, 2, 3), "timestamp '2025-06-01 09:00:00'": datetime.datetime(2025, 6, 1, 9),
        "timestamptz '2025-06-01T09:00:00Z'": datetime.datetime(2025, 6, 1, 9, tzinfo=datetime.timezone.utc),
        "['a', null]": ["a", None], "{x: 1, y: 'b'}": {"x": 1, "y": "b"},
    }
    for sql, wanted in values.items():
        with connection.cursor() as cursor:
            cursor.execute(f"select {sql} as a")
            got = cursor.fetchone()[0]
        if got != wanted:
            raise AssertionError(f"{sql}: got {got!r}, wanted {wanted!r}")


@check("DB-API: values bound and returned")
def _():
    values = [
        True, 5, 2**40, 1.5, decimal.Decimal("1.25"), "text", b"\x00\xff", datetime.date(2025, 6, 1), datetime.time(1, 2, 3),
        datetime.datetime(2025, 6, 1, 9, 0, 0, 5), datetime.datetime(2025, 6, 1, tzinfo=datetime.timezone.utc), [1, 2],
    ]
    for value in values:
        with connection.cursor() as cursor:
            cursor.execute("select ? as a", [value])
            same(cursor.fetchone(), (value,))


@check.limit("DB-API: executemany", "the driver sends an update; bind a record batch to `execute`")
def _():
    with connection.cursor() as cursor:
        cursor.executemany("select ? as a, ? as b", [(1, "x"), (2, "y")])


@check("DB-API: arrow tables and readers")
def _():
    with connection.cursor() as cursor:
        cursor.execute("select 1 as a")
        same(cursor.fetch_arrow_table().to_pydict(), {"a": [1]})
        cursor.execute("select 1 as a")
        with cursor.fetch_record_batch() as reader:
            same(reader.read_all().num_rows, 1)
        cursor.execute("select 1 as a")
        same(pyarrow.RecordBatchReader.from_stream(cursor.fetch_arrow()).read_all().to_pydict(), {"a": [1]})


@check("DB-API: errors")
def _():
    dbapi = flight
    with connection.cursor() as cursor:
        error = raises(lambda: cursor.execute("selct 1"))
        same((isinstance(error, dbapi.ProgrammingError), error.status_code), (True, AdbcStatusCode.INVALID_ARGUMENT))
        error = raises(lambda: cursor.execute("select * from nowhere"))
        same(error.status_code, AdbcStatusCode.NOT_FOUND)
        # the cursor goes on
        cursor.execute("select 1")
        same(cursor.fetchone(), (1,))
    raises(lambda: cursor.execute("select 1"))
    raises(connection.cursor().fetchone)
    error = raises(lambda: connection.adbc_get_table_schema("nowhere"))
    same(error.status_code, AdbcStatusCode.NOT_FOUND)
    with connection.cursor() as cursor:
        cursor.execute("select 1 / 0")
        raises(cursor.fetchall, "zero")


@check("DB-API: prepare and run again")
def _():
    with connection.cursor() as cursor:
        schema = cursor.adbc_prepare("select count(*) from interactions where wait_s > ?")
        same(schema.types, [pyarrow.int64()])
        counts = []
        for value in (30, 60, 30):
            cursor.execute("select count(*) from interactions where wait_s > ?", (value,))
            counts.append(cursor.fetchone()[0])
        same((counts[0] > counts[1], counts[0]), (True, counts[2]))
        same(cursor.adbc_prepare("select 1").types, [])


@check("ADBC: partitions")
def _():
    with connection.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions("select x from generate_series(1, 3) a(x)")
        same((len(partitions), schema.names), (1, ["x"]))
    with connection.cursor() as cursor:
        cursor.adbc_read_partition(partitions[0])
        same(sorted(cursor.fetchall()), [(1,), (2,), (3,)])


@check("ADBC: a clone of the connection")
def _():
    with connection.adbc_clone() as clone, clone.cursor() as cursor:
        cursor.execute("select 1")
        same(cursor.fetchall(), [(1,)])


@check("ADBC: objects by each filter")
def _():
    def tables(**filters):
        found = connection.adbc_get_objects(depth="tables", **filters).read_all().to_pylist()
        schemas = [schema for catalog in found for schema in catalog["catalog_db_schemas"] or []]
        return {table["table_name"] for schema in schemas for table in schema["db_schema_tables"] or []}

    same({"interactions", "kpi_overview"} - tables(), set())
    same({"interactions", "kpi_overview"} - tables(catalog_filter="cx%"), set())
    same(tables(catalog_filter="other"), set())
    same("kpi_overview" in tables(db_schema_filter="public"), False)
    same(tables(table_name_filter="survey_"), {"surveys"})
    same(tables(table_name_filter="SURVEYS"), set())
    same(tables(table_types_filter=["SYNONYM"]), set())


@check("ADBC: one table's columns are those of a query")
def _():
    for schema, table in (("public", "interactions"), ("reports", "kpi_overview"), ("information_schema", "columns")):
        with connection.cursor() as cursor:
            cursor.execute(f"select * from {schema}.{table} limit 0")
            queried = cursor.fetch_arrow_table().schema
        told = connection.adbc_get_table_schema(table, catalog_filter="cxql", db_schema_filter=schema)
        same([(field.name, field.type) for field in told], [(field.name, field.type) for field in queried])


@check("ADBC: bring batches and a reader")
def _():
    batch = pyarrow.record_batch({"n": [1, 2], "at": pyarrow.array([0, None], pyarrow.timestamp("us", "UTC")), "s": ["a", None]})
    with connection.cursor() as cursor:
        same(cursor.adbc_ingest("batches", batch, mode="create_append"), 2)
        reader = pyarrow.RecordBatchReader.from_batches(batch.schema, [batch, batch])
        same(cursor.adbc_ingest("batches", reader, mode="append"), 4)
        cursor.execute("select count(*), count(at), sum(n) from scratch.batches")
        same(cursor.fetchall(), [(6, 3, 9)])
        error = raises(lambda: cursor.adbc_ingest("none", batch, mode="append"))
        same(error.status_code, AdbcStatusCode.NOT_FOUND)
        error = raises(lambda: cursor.adbc_ingest("batches", batch, mode="create"))
        same(error.status_code, AdbcStatusCode.ALREADY_EXISTS)


@check.limit("ADBC: bring a table without rows", "the driver sends nothing at all")
def _():
    with connection.cursor() as cursor:
        cursor.adbc_ingest("empty", pyarrow.schema([("a", pyarrow.int64())]).empty_table(), mode="replace")


@check("ADBC: the current catalog and schema")
def _():
    options = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with flight.connect(address, db_kwargs=options, autocommit=True) as own:
        same((own.adbc_current_catalog, own.adbc_current_db_schema), ("cxql", "public"))
        own.adbc_current_db_schema = "reports"
        same(own.adbc_current_db_schema, "reports")
        with own.cursor() as cursor:
            cursor.execute("select count(*) > 0 from kpi_overview")
            same(cursor.fetchall(), [(True,)])
        raises(lambda: setattr(own, "adbc_current_db_schema", "nowhere"))
        raises(lambda: setattr(own, "adbc_current_catalog", "other"))


@check("ADBC: driver and server information")
def _():
    info = connection.adbc_get_info()
    same({"vendor_name", "vendor_version", "driver_name", "driver_version"} - set(info), set())


@check.limit("ADBC: statistics", "the driver has no such call")
def _():
    connection.adbc_connection.get_statistics(None, None, None, True)


@check.limit("ADBC: a Substrait plan", "the server plans SQL only")
def _():
    with connection.cursor() as cursor:
        cursor.execute(b"no plan")



connection.close()
check.end()
