import polars as pl


def answer(scan):
    number = pl.col("customer_contact_count")
    return (
        scan("interactions")
        .select("customer_id", "channel")
        .filter(pl.col("customer_id").is_not_null())
        .select("channel", customer_contact_count=pl.len().over("customer_id"))
        .group_by("channel")
        .agg(contact_count=pl.len(), customer_contact_avg=number.mean(), frequent_count=(number >= 20).sum())
        .sort("channel")
    )
