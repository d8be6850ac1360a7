import polars as pl
from datetime import datetime, timezone


def answer(scan):
    at = pl.col("started_at")
    return (
        scan("interactions")
        .filter(at < datetime(2026, 1, 1, tzinfo=timezone.utc), pl.col("customer_id").is_not_null())
        .select("customer_id", month=at.dt.date().dt.month_start())
        .unique()
        .group_by("month")
        .agg(customer_count=pl.len())
        .sort("month")
    )
