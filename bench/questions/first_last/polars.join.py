import polars as pl


def answer(scan):
    at = pl.col("started_at")
    contacts = scan("interactions").select("customer_id", "channel", "started_at").filter(pl.col("customer_id").is_not_null())
    customers = contacts.group_by("customer_id").agg(first_at=at.min(), last_at=at.max())
    return (
        contacts.join(customers, on="customer_id")
        .group_by("channel")
        .agg(
            contact_count=pl.len(),
            since_first_avg_s=(at - pl.col("first_at")).dt.total_seconds().mean(),
            until_last_avg_s=(pl.col("last_at") - at).dt.total_seconds().mean(),
        )
        .sort("channel")
    )
