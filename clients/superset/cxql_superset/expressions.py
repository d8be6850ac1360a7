"""The SQL that Superset writes for cxql. Nothing here needs Superset."""

import datetime

# the header with the schema in which names without one are looked up
SCHEMA_HEADER = "x-cxql-schema"


def _bins(width):
    # local time where the column has a time zone, as date_trunc
    return f"date_bin(interval '{width}', {{col}})"


# Superset's names of time grains (ISO 8601 durations) and what a value is replaced by
TIME_GRAINS = {
    None: "{col}",
    "PT1S": "date_trunc('second', {col})",
    "PT5S": _bins("5 seconds"),
    "PT30S": _bins("30 seconds"),
    "PT1M": "date_trunc('minute', {col})",
    "PT5M": _bins("5 minutes"),
    "PT10M": _bins("10 minutes"),
    "PT15M": _bins("15 minutes"),
    "PT30M": _bins("30 minutes"),
    "PT1H": "date_trunc('hour', {col})",
    "PT6H": _bins("6 hours"),
    "P1D": "date_trunc('day', {col})",
    "P1W": "date_trunc('week', {col})",
    "P1M": "date_trunc('month', {col})",
    "P3M": "date_trunc('quarter', {col})",
    "P1Y": "date_trunc('year', {col})",
    # weeks that begin on Sunday and on Monday
    "1969-12-28T00:00:00Z/P1W": "date_trunc('week', {col} + interval '1 day') - interval '1 day'",
    "1969-12-29T00:00:00Z/P1W": "date_trunc('week', {col})",
    # weeks by their last day: Saturday and Sunday
    "P1W/1970-01-03T00:00:00Z": "date_trunc('week', {col} + interval '1 day') + interval '5 days'",
    "P1W/1970-01-04T00:00:00Z": "date_trunc('week', {col}) + interval '6 days'",
}

# seconds since 1970 as a timestamp
EPOCH = "to_timestamp_seconds({col})"


def date_literal(at: datetime.datetime) -> str:
    """A date of SQL."""
    return f"date '{at.date().isoformat()}'"


def timestamp_literal(at: datetime.datetime) -> str:
    """A timestamp of SQL: without an offset it is read in the time zone of the session."""
    text = at.isoformat(sep=" ", timespec="microseconds")
    return f"timestamp '{text}'" if at.tzinfo is None else f"timestamptz '{text}'"
