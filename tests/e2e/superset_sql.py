"""What Superset sends, by the package in clients/superset: time grains, literals, the schema of SQL Lab.

usage: superset_sql.py HOST:PORT

Superset itself is not needed; where it is installed, its engine spec is asked in place of the package's expressions.
"""

import datetime
import importlib.util
import os
import pathlib
import sys
import tempfile

import sqlalchemy
from sqlalchemy.dialects import registry
from sqlalchemy.engine import make_url

from checks import Checks, raises, same

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients" / "superset"))
from cxql_superset import expressions  # noqa: E402

check = Checks()
registry.register("cxql", "cxql_superset.dialect", "CxqlDialect")
address = make_url(f"cxql://{sys.argv[1]}?insecure=True")
engine = sqlalchemy.create_engine(address)
HAS_SUPERSET = importlib.util.find_spec("superset") is not None
DAY = datetime.timedelta(days=1)


def rows(sql, within=engine):
    with within.connect() as connection:
        return [tuple(row) for row in connection.execute(sqlalchemy.text(sql))]


def moment(value):
    """A value of a result as what a clock shows."""
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time())
    return value.replace(tzinfo=None)


def floored(at, **step):
    width = datetime.timedelta(**step)
    return at - (at - datetime.datetime(1970, 1, 1)) % width


def week(at, first):
    """The midnight at which the week of a moment begins; `first` is its first day, Monday is 0."""
    midnight = floored(at, days=1)
    return midnight - DAY * ((midnight.weekday() - first) % 7)


# what each grain means, by Python's calendar
GRAINS = {
    None: lambda at: at,
    "PT1S": lambda at: floored(at, seconds=1),
    "PT5S": lambda at: floored(at, seconds=5),
    "PT30S": lambda at: floored(at, seconds=30),
    "PT1M": lambda at: floored(at, minutes=1),
    "PT5M": lambda at: floored(at, minutes=5),
    "PT10M": lambda at: floored(at, minutes=10),
    "PT15M": lambda at: floored(at, minutes=15),
    "PT30M": lambda at: floored(at, minutes=30),
    "PT1H": lambda at: floored(at, hours=1),
    "PT6H": lambda at: floored(at, hours=6),
    "P1D": lambda at: floored(at, days=1),
    "P1W": lambda at: week(at, 0),
    "P1M": lambda at: floored(at, days=1).replace(day=1),
    "P3M": lambda at: floored(at, days=1).replace(day=1, month=(at.month - 1) // 3 * 3 + 1),
    "P1Y": lambda at: floored(at, days=1).replace(day=1, month=1),
    "1969-12-28T00:00:00Z/P1W": lambda at: week(at, 6),
    "1969-12-29T00:00:00Z/P1W": lambda at: week(at, 0),
    "P1W/1970-01-03T00:00:00Z": lambda at: week(at, 6) + 6 * DAY,
    "P1W/1970-01-04T00:00:00Z": lambda at: week(at, 0) + 6 * DAY,
}


@check("Superset: time grains")
def _():
    same(set(GRAINS), set(expressions.TIME_GRAINS))
    columns = ("started_at", "cast(started_at as timestamp)", "cast(started_at as date)")
    for column in columns:
        for grain, expression in expressions.TIME_GRAINS.items():
            # the client gives integers where all columns are timestamps of one type
            sql = f"select {column}, {expression.format(col=column)}, 'x' from interactions order by interaction_id limit 300"
            got = rows(sql)
            same(len(got), 300)
            for at, bucket, _ in got:
                if moment(bucket) != GRAINS[grain](moment(at)):
                    raise AssertionError(f"{grain} of {column} {at} is {bucket}, wanted {GRAINS[grain](moment(at))}")


@check("Superset: a chart by time")
def _():
    expression = expressions.TIME_GRAINS["P1W"].format(col="started_at")
    since = expressions.timestamp_literal(datetime.datetime(2025, 6, 1))
    until = expressions.timestamp_literal(datetime.datetime(2025, 6, 30))
    got = rows(
        f"select {expression} as __timestamp, count(*) as count from interactions "
        f"where started_at >= {since} and started_at < {until} group by {expression} order by count desc limit 100"
    )
    wanted = rows("select count(*) from interactions where started_at between timestamptz '2025-06-01T00:00:00Z' and timestamptz '2025-06-29T23:59:59.999999Z'")
    same(sum(count for _, count in got), wanted[0][0])


@check("Superset: literals")
def _():
    at = datetime.datetime(2025, 6, 1, 9, 30, 0, 5)
    [(day, local, instant, epoch)] = rows(
        f"select {expressions.date_literal(at)}, {expressions.timestamp_literal(at)}, "
        f"{expressions.timestamp_literal(at.replace(tzinfo=datetime.timezone.utc))}, "
        f"{expressions.EPOCH.format(col='1748736000')}"
    )
    same((moment(day), moment(local), moment(instant)), (datetime.datetime(2025, 6, 1), at, at))
    same(moment(epoch), datetime.datetime(2025, 6, 1))


@check("Superset: the schema of SQL Lab")
def _():
    sql = "select count(*) as n from kpi_overview"
    raises(lambda: rows(sql), "there is no table or view `kpi_overview`")
    chosen = address.update_query_dict({expressions.SCHEMA_HEADER: "reports"})
    same(rows(sql, sqlalchemy.create_engine(chosen))[0][0] > 0, True)
    wrong = address.update_query_dict({expressions.SCHEMA_HEADER: "nowhere"})
    raises(lambda: rows(sql, sqlalchemy.create_engine(wrong)), "there is no schema `nowhere`")


@check("Superset: tables and their columns")
def _():
    inspector = sqlalchemy.inspect(engine)
    same({"public", "reports"} - set(inspector.get_schema_names()), set())
    same({"interactions", "surveys"} - set(inspector.get_table_names(schema="public")), set())
    names = {column["name"] for column in inspector.get_columns("surveys", schema="public")}
    same({"survey_id", "score"} - names, set())
    same(inspector.get_pk_constraint("surveys", schema="public")["constrained_columns"], [])


if HAS_SUPERSET:

    def engine_spec():
        from superset.app import create_app

        with create_app().app_context():
            from superset.db_engine_specs import get_engine_spec

            spec = get_engine_spec("cxql", "flightsql")
            same(spec.__name__, "CxqlEngineSpec")
            same(spec.get_time_grain_expressions()["P1W"], expressions.TIME_GRAINS["P1W"])
            same({grain.duration for grain in spec.get_time_grains()} - set(expressions.TIME_GRAINS), set())
            at = datetime.datetime(2025, 6, 1)
            same(spec.convert_dttm("DATE", at), "date '2025-06-01'")
            same(spec.convert_dttm("TIMESTAMP", at), "timestamp '2025-06-01 00:00:00.000000'")
            uri, _ = spec.adjust_engine_params(address, {}, None, "reports")
            same(spec.get_schema_from_engine_params(uri, {}), "reports")
            same(rows("select count(*) as n from kpi_overview", sqlalchemy.create_engine(uri))[0][0] > 0, True)

    @check("Superset itself: the engine spec")
    def _():
        os.environ["SUPERSET_SECRET_KEY"] = "of this test only"
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SUPERSET_HOME"] = folder
            engine_spec()


check.end()
