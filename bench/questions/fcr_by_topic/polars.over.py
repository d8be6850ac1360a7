import polars as pl
from datetime import datetime, timedelta, timezone

WINDOW = timedelta(days=7)
FROM, UNTIL = datetime(2025, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 1, tzinfo=timezone.utc)


def answer(scan):
    at = pl.col("started_at")
    steps = {"partition_by": ["customer_id", "topic"], "order_by": "started_at"}
    return (
        scan("interactions")
        .select("customer_id", "topic", "started_at")
        .filter(pl.col("customer_id").is_not_null(), pl.col("topic").is_not_null())
        .with_columns(before=at.shift(1).over(**steps), after=at.shift(-1).over(**steps))
        .with_columns(
            is_resolved=pl.when((at < FROM + WINDOW) | (at > UNTIL - WINDOW)).then(None)
            .when(at - pl.col("before") <= WINDOW).then(None)
            .otherwise((pl.col("after") - at > WINDOW).fill_null(True))
        )
        .group_by("topic")
        .agg(contact_count=pl.len(), known_count=pl.col("is_resolved").count(), fcr_ratio=pl.col("is_resolved").mean())
        .sort("topic")
    )
