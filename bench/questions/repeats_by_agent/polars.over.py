import polars as pl
from datetime import datetime, timedelta, timezone

BEGIN = datetime(2025, 1, 8, tzinfo=timezone.utc)  # a week after the beginning of the data


def answer(scan):
    at = pl.col("started_at")
    before = at.shift(1).over("customer_id", "topic", order_by=["started_at", "agent_id"])
    return (
        scan("interactions")
        .select("customer_id", "topic", "agent_id", "started_at")
        .drop_nulls()
        .select(
            "agent_id",
            is_repeat=pl.when(at >= BEGIN).then((at - before <= timedelta(days=7)).fill_null(False)),
        )
        .group_by("agent_id")
        .agg(contact_count=pl.len(), repeat_ratio=pl.col("is_repeat").mean())
        .sort("agent_id")
    )
