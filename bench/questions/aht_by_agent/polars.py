import polars as pl


def answer(scan):
    parts = [pl.col(name) for name in ("talk_s", "hold_s", "wrap_s")]
    known = ~pl.col("is_abandoned") & pl.any_horizontal(part.is_not_null() for part in parts)
    return (
        scan("interactions")
        .filter(pl.col("agent_id").is_not_null())
        .with_columns(handle_s=pl.when(known).then(sum(part.fill_null(0) for part in parts)))
        .group_by("agent_id")
        .agg(contact_count=pl.len(), aht_s=pl.col("handle_s").mean())
        .sort("agent_id")
    )
