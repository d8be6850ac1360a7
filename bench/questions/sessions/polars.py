import polars as pl
from datetime import timedelta


def answer(scan):
    at, customer = pl.col("started_at"), pl.col("customer_id")
    begins = (customer != customer.shift(1)) | (at - at.shift(1) > timedelta(days=30))
    return (
        scan("interactions")
        .select("customer_id", "started_at")
        .filter(customer.is_not_null())
        .sort("customer_id", "started_at")
        .select("started_at", session=begins.fill_null(True).cast(pl.UInt32).cum_sum())
        .group_by("session")
        .agg(contact_count=pl.len(), length_s=(at.max() - at.min()).dt.total_seconds())
        .group_by(session_size=pl.min_horizontal("contact_count", pl.lit(10, pl.UInt32)))
        .agg(session_count=pl.len(), length_avg_s=pl.col("length_s").mean())
        .sort("session_size")
    )
