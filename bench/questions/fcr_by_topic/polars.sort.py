import polars as pl
from datetime import datetime, timedelta, timezone

WINDOW = timedelta(days=7)
FROM, UNTIL = datetime(2025, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 1, tzinfo=timezone.utc)


def answer(scan):
    at, keys = pl.col("started_at"), ["customer_id", "topic"]
    same_before = pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in keys)
    same_after = pl.all_horizontal(pl.col(key) == pl.col(key).shift(-1) for key in keys)
    return (
        scan("interactions")
        .select(*keys, "started_at")
        .filter(pl.col("customer_id").is_not_null(), pl.col("topic").is_not_null())
        .sort(*keys, "started_at")
        .select(
            "topic",
            is_resolved=pl.when((at < FROM + WINDOW) | (at > UNTIL - WINDOW)).then(None)
            .when(same_before & (at - at.shift(1) <= WINDOW)).then(None)
            .when(same_after & (at.shift(-1) - at <= WINDOW)).then(pl.lit(False))
            .otherwise(pl.lit(True)),
        )
        .group_by("topic")
        .agg(contact_count=pl.len(), known_count=pl.col("is_resolved").count(), fcr_ratio=pl.col("is_resolved").mean())
        .sort("topic")
    )
