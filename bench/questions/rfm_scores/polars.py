import polars as pl


def answer(scan):
    customers = (
        scan("orders")
        .filter(pl.col("customer_id").is_not_null())
        .group_by("customer_id")
        .agg(
            last_at=pl.col("ordered_at").max(),
            order_count=pl.len(),
            amount_cents=(pl.col("amount").sum() * 100).round().cast(pl.Int64),
        )
        .sort("customer_id")
    )
    # the sort by customer breaks ties: ordinal ranks number equal values in order of rows
    n, small = pl.len().cast(pl.Int64), pl.len().cast(pl.Int64) // 5
    large_rows = (n % 5) * (small + 1)

    def tile(name):
        row = pl.col(name).rank("ordinal").cast(pl.Int64) - 1
        return pl.when(row < large_rows).then(row // (small + 1)).otherwise((row - n % 5) // small) + 1

    frequency_rank = (pl.col("order_count").rank("min").cast(pl.Int64) - 1) / (n - 1)
    return (
        customers.select(
            recency=tile("last_at"),
            frequency=tile("order_count"),
            monetary=tile("amount_cents"),
            amount_rank=pl.col("amount_cents").rank("min", descending=True),
            frequency_rank=frequency_rank,
        )
        .group_by("recency", "frequency", "monetary")
        .agg(
            customer_count=pl.len(),
            best_amount_rank=pl.col("amount_rank").min(),
            frequency_rank_avg=pl.col("frequency_rank").mean(),
        )
        .sort("recency", "frequency", "monetary")
    )
