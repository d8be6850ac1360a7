import polars as pl


def answer(scan):
    at = pl.col("started_at")
    return (
        scan("interactions")
        .select("customer_id", "started_at")
        .filter(pl.col("customer_id").is_not_null())
        .select("started_at", number=pl.int_range(1, pl.len() + 1).over("customer_id", order_by="started_at"))
        .group_by(contact_number=pl.col("number").clip(upper_bound=20))
        .agg(contact_count=pl.len(), first_at=at.min().dt.replace_time_zone(None), last_at=at.max().dt.replace_time_zone(None))
        .sort("contact_number")
    )
