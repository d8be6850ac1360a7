import polars as pl
from datetime import datetime, timezone


def answer(scan):
    at = pl.col("started_at")
    return (
        scan("interactions")
        .filter(at < datetime(2026, 1, 1, tzinfo=timezone.utc), pl.col("customer_id").is_not_null())
        .group_by(month=at.dt.month_start().dt.date())
        .agg(customer_count=pl.col("customer_id").n_unique())
        .sort("month")
    )
