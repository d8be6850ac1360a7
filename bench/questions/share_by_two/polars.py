import polars as pl


def answer(scan):
    return (
        scan("interactions")
        .filter(pl.col("queue").is_not_null() & pl.col("channel").is_not_null())
        .group_by("queue", "channel")
        .agg(
            contact_count=pl.len(),
            abandoned_ratio=pl.col("is_abandoned").mean(),
            resolved_ratio=pl.col("is_resolved").sum() / pl.len(),
        )
        .sort("queue", "channel")
    )
