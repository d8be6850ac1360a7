"""SQLAlchemy with flightsql-dbapi, as Superset connects.

usage: alchemy.py HOST:PORT
"""

import sys

import pandas
import sqlalchemy

from checks import Checks, raises, same

check = Checks()
engine = sqlalchemy.create_engine(f"datafusion://{sys.argv[1]}?insecure=True")


def rows(sql, **parameters):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sqlalchemy.text(sql), parameters)]


@check("connect and query")
def _():
    same(rows("select 1 as a, 'x' as b"), [(1, "x")])


@check("empty result")
def _():
    same(rows("select topic, wait_s from interactions where 1 = 0"), [])


@check("schemas")
def _():
    names = sqlalchemy.inspect(engine).get_schema_names()
    same({"public", "reports"} - set(names), set())


@check("tables and views")
def _():
    inspector = sqlalchemy.inspect(engine)
    names = inspector.get_table_names(schema="public") + inspector.get_view_names(schema="public")
    same({"interactions", "surveys"} - set(names), set())


@check("columns")
def _():
    columns = sqlalchemy.inspect(engine).get_columns("surveys", schema="public")
    same({"survey_id", "score"} - {column["name"] for column in columns}, set())


@check("primary keys")
def _():
    sqlalchemy.inspect(engine).get_pk_constraint("surveys", schema="public")


@check("error with its place")
def _():
    raises(lambda: rows("select colour from surveys"), "there is no column `colour`")


@check("writing is refused")
def _():
    raises(lambda: rows("drop table surveys"), "only reads")


@check("pandas")
def _():
    # as Superset makes its frames
    with engine.connect() as connection:
        cursor = connection.execute(sqlalchemy.text("select topic, count(*) as n from interactions group by topic"))
        frame = pandas.DataFrame(cursor.fetchall(), columns=list(cursor.keys()))
    same(int(frame["n"].sum()), rows("select count(*) as n from interactions")[0][0])


@check("types")
def _():
    got = rows("select true as a, 2 as b, 1.5 as c, 'text' as d, date '2025-01-31' as e, null as f")
    # this client gives dates as times
    same([str(value) for value in got[0]], ["True", "2", "1.5", "text", "2025-01-31 00:00:00", "None"])


@check("reports")
def _():
    same(len(rows("select * from reports.fcr_by_topic")) > 1, True)


check.end()
