import polars as pl


def answer(scan):
    handle = pl.col("handle_s")
    distance = handle - handle.median()
    score = 0.6745 * distance / distance.abs().median()
    return (
        scan("interactions")
        .filter(pl.col("queue").is_not_null() & pl.col("channel").is_not_null())
        .select("queue", "channel", handle_s=sum(pl.col(name).fill_null(0) for name in ("talk_s", "hold_s", "wrap_s")))
        .group_by("queue", "channel")
        .agg(contact_count=pl.len(), outlier_count=(score.abs() > 3.5).sum(), score_max=score.max())
        .sort("queue", "channel")
    )
