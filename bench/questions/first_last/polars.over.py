import polars as pl


def answer(scan):
    at = pl.col("started_at")
    return (
        scan("interactions")
        .select("customer_id", "channel", "started_at")
        .filter(pl.col("customer_id").is_not_null())
        .select(
            "channel",
            since_first_s=(at - at.min().over("customer_id")).dt.total_seconds(),
            until_last_s=(at.max().over("customer_id") - at).dt.total_seconds(),
        )
        .group_by("channel")
        .agg(
            contact_count=pl.len(),
            since_first_avg_s=pl.col("since_first_s").mean(),
            until_last_avg_s=pl.col("until_last_s").mean(),
        )
        .sort("channel")
    )
