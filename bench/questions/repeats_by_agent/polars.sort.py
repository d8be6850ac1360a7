import polars as pl
from datetime import datetime, timedelta, timezone

BEGIN = datetime(2025, 1, 8, tzinfo=timezone.utc)  # a week after the beginning of the data


def answer(scan):
    at, keys = pl.col("started_at"), ["customer_id", "topic"]
    same_before = pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in keys)
    return (
        scan("interactions")
        .select(*keys, "agent_id", "started_at")
        .drop_nulls()
        .sort(*keys, "started_at", "agent_id")
        .select(
            "agent_id",
            is_repeat=pl.when(at >= BEGIN).then((same_before & (at - at.shift(1) <= timedelta(days=7))).fill_null(False)),
        )
        .group_by("agent_id")
        .agg(contact_count=pl.len(), repeat_ratio=pl.col("is_repeat").mean())
        .sort("agent_id")
    )
