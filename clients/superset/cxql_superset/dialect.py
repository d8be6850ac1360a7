"""The SQLAlchemy dialect: that of flightsql-dbapi under the name of cxql, which Superset finds its engine spec by."""

from flightsql.sqlalchemy import DataFusionDialect


class CxqlDialect(DataFusionDialect):
    """`cxql://HOST:PORT?insecure=True`."""

    name = "cxql"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls):
        return cls.dbapi()

    def get_pk_constraint(self, connection, table_name, schema=None, **kwargs):
        # the base class returns a list where there is none
        found = super().get_pk_constraint(connection, table_name, schema=schema, **kwargs)
        return found or {"constrained_columns": [], "name": None}
