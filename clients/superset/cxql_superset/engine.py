"""The engine spec, which Superset finds by the entry point `superset.db_engine_specs`."""

from sqlalchemy import types
from superset.db_engine_specs.base import BaseEngineSpec

from . import expressions


class CxqlEngineSpec(BaseEngineSpec):
    """cxql by Flight SQL."""

    engine = "cxql"
    engine_name = "cxql"
    drivers = {"flightsql": "Arrow Flight SQL"}
    default_driver = "flightsql"
    sqlalchemy_uri_placeholder = "cxql://user:password@host:port?insecure=True"
    supports_file_upload = False
    # the schema of SQL Lab goes into the address
    supports_dynamic_schema = True

    _time_grain_expressions = expressions.TIME_GRAINS

    @classmethod
    def epoch_to_dttm(cls):
        return expressions.EPOCH

    @classmethod
    def convert_dttm(cls, target_type, dttm, db_extra=None):
        sqla_type = cls.get_sqla_column_type(target_type)
        if isinstance(sqla_type, types.Date):
            return expressions.date_literal(dttm)
        if isinstance(sqla_type, types.DateTime):
            return expressions.timestamp_literal(dttm)
        return None

    @classmethod
    def adjust_engine_params(cls, uri, connect_args, catalog=None, schema=None):
        if schema:
            uri = uri.update_query_dict({expressions.SCHEMA_HEADER: schema})
        return uri, connect_args

    @classmethod
    def get_schema_from_engine_params(cls, sqlalchemy_uri, connect_args):
        return sqlalchemy_uri.query.get(expressions.SCHEMA_HEADER)
