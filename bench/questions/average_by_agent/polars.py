import polars as pl


def answer(scan):
    return (
        scan("interactions")
        .filter(pl.col("agent_id").is_not_null())
        .group_by("agent_id")
        .agg(
            contact_count=pl.len(),
            wait_avg_s=pl.col("wait_s").mean(),
            talk_avg_s=pl.col("talk_s").mean(),
            hold_avg_s=pl.col("hold_s").mean(),
            wrap_avg_s=pl.col("wrap_s").mean(),
        )
        .sort("agent_id")
    )
