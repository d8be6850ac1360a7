import polars as pl


def answer(scan):
    at, customer = pl.col("started_at"), pl.col("customer_id")
    row, first = pl.col("row"), (customer != customer.shift(1)).fill_null(True)
    return (
        scan("interactions")
        .select("customer_id", "started_at")
        .filter(customer.is_not_null())
        .sort("customer_id", "started_at")
        .with_row_index("row")
        .select("started_at", number=row + 1 - pl.when(first).then(row).forward_fill())
        .group_by(contact_number=pl.col("number").clip(upper_bound=20))
        .agg(contact_count=pl.len(), first_at=at.min().dt.replace_time_zone(None), last_at=at.max().dt.replace_time_zone(None))
        .sort("contact_number")
    )
