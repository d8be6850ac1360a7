import polars as pl
from datetime import timedelta

WEEK = timedelta(days=7)


def answer(scan):
    at, keys = pl.col("started_at"), ["customer_id", "topic"]
    same_before = pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in keys)
    same_after = pl.all_horizontal(pl.col(key) == pl.col(key).shift(-1) for key in keys)
    return finish(
        scan("interactions")
        .select(*keys, "started_at")
        .filter(pl.col("customer_id").is_not_null(), pl.col("topic").is_not_null())
        .sort(*keys, "started_at")
        .select(
            "topic",
            before=pl.when(same_before).then(at - at.shift(1)),
            after=pl.when(same_after).then(at.shift(-1) - at),
        )
    )


def finish(frame):
    before, after = pl.col("before"), pl.col("after")
    return (
        frame.group_by("topic")
        .agg(
            followed_count=before.count(),
            gap_avg_s=before.dt.total_seconds().mean(),
            between_count=((before <= WEEK) & (after <= WEEK)).sum(),
        )
        .sort("topic")
    )
