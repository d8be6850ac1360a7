import polars as pl

WEEK = 7 * 86_400_000


def answer(scan):
    # the number of the topic above the millisecond: fewer keys to sort, and a gap across topics is larger than any in one
    contacts = (
        scan("interactions")
        .select("customer_id", "topic", "started_at")
        .filter(pl.col("customer_id").is_not_null(), pl.col("topic").is_not_null())
    )
    topics = contacts.select(pl.col("topic").unique()).with_row_index("number")
    customer, step, before, after = (pl.col(name) for name in ("customer_id", "step", "before", "after"))
    gap = step - step.shift(1)
    return (
        contacts.join(topics, on="topic", maintain_order="left")
        .select("customer_id", "number", step=pl.col("number").cast(pl.Int64) * 2**50 + pl.col("started_at").dt.epoch("ms"))
        .sort("customer_id", "step")
        .with_columns(before=pl.when((customer == customer.shift(1)) & (gap < 2**49)).then(gap))
        .select("number", "before", after=before.shift(-1))
        .group_by("number")
        .agg(
            followed_count=before.count(),
            gap_avg_s=before.mean() / 1000,
            between_count=((before <= WEEK) & (after <= WEEK)).sum(),
        )
        .join(topics, on="number")
        .select("topic", "followed_count", "gap_avg_s", "between_count")
        .sort("topic")
    )
