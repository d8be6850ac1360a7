import polars as pl

WINDOW = 7 * 86_400_000


def answer(scan):
    # the number of the topic above the millisecond: fewer keys to sort, and a gap across topics is larger than any window
    contacts = (
        scan("interactions")
        .select("customer_id", "topic", "started_at")
        .filter(pl.col("customer_id").is_not_null(), pl.col("topic").is_not_null())
    )
    topics = contacts.select(pl.col("topic").unique()).with_row_index("number")
    customer, step = pl.col("customer_id"), pl.col("step")
    by_customer = (
        contacts.join(topics, on="topic", maintain_order="left")
        .select("customer_id", step=pl.col("number").cast(pl.Int64) * 2**50 + pl.col("started_at").dt.epoch("ms"))
        .sort("customer_id", "step")
        .select(
            "customer_id",
            is_repeat=((customer == customer.shift(1)) & (step - step.shift(1) <= WINDOW)).fill_null(False),
        )
        .group_by("customer_id")
        .agg(repeat_count=pl.col("is_repeat").sum().clip(upper_bound=4))
    )
    return (
        by_customer.join(scan("customers").select("customer_id", "churned_at"), on="customer_id")
        .group_by("repeat_count")
        .agg(customer_count=pl.len(), churn_ratio=pl.col("churned_at").is_not_null().mean())
        .sort("repeat_count")
    )
