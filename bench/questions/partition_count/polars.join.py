import polars as pl


def answer(scan):
    number = pl.col("customer_contact_count")
    contacts = scan("interactions").select("customer_id", "channel").filter(pl.col("customer_id").is_not_null())
    customers = contacts.group_by("customer_id").agg(customer_contact_count=pl.len())
    return (
        contacts.join(customers, on="customer_id")
        .group_by("channel")
        .agg(contact_count=pl.len(), customer_contact_avg=number.mean(), frequent_count=(number >= 20).sum())
        .sort("channel")
    )
