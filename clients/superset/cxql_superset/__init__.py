"""Apache Superset knows cxql: a SQLAlchemy dialect and an engine spec."""
