import polars as pl
from datetime import timedelta


def answer(scan):
    at, keys = pl.col("started_at"), ["customer_id", "topic"]
    same_before = pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in keys)
    return (
        scan("interactions")
        .select(*keys, "agent_id", "started_at")
        .drop_nulls()
        .sort(*keys, "started_at", "agent_id")
        .select("agent_id", is_repeat=(same_before & (at - at.shift(1) <= timedelta(days=7))).fill_null(False))
        .group_by("agent_id")
        .agg(contact_count=pl.len(), repeat_ratio=pl.col("is_repeat").mean())
        .sort("agent_id")
    )
