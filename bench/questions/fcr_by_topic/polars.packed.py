import polars as pl
from datetime import datetime, timezone

WINDOW = 7 * 86_400_000
FROM, UNTIL = (int(datetime(year, 1, 1, tzinfo=timezone.utc).timestamp()) * 1000 for year in (2025, 2026))


def answer(scan):
    # the number of the topic above the millisecond: two keys to sort, and a gap across topics is larger than any window
    contacts = (
        scan("interactions")
        .select("customer_id", "topic", "started_at")
        .filter(pl.col("customer_id").is_not_null(), pl.col("topic").is_not_null())
    )
    topics = contacts.select(pl.col("topic").unique()).with_row_index("number")
    at, customer, step = pl.col("at"), pl.col("customer_id"), pl.col("step")
    same_before, same_after = customer == customer.shift(1), customer == customer.shift(-1)
    outcomes = (
        contacts.join(topics, on="topic", maintain_order="left")
        .select("customer_id", "number", step=pl.col("number").cast(pl.Int64) * 2**50 + pl.col("started_at").dt.epoch("ms"))
        .sort("customer_id", "step")
        .select(
            "number",
            is_resolved=pl.when((step % 2**50 < FROM + WINDOW) | (step % 2**50 > UNTIL - WINDOW)).then(None)
            .when(same_before & (step - step.shift(1) <= WINDOW)).then(None)
            .when(same_after & (step.shift(-1) - step <= WINDOW)).then(pl.lit(False))
            .otherwise(pl.lit(True)),
        )
        .group_by("number")
        .agg(contact_count=pl.len(), known_count=pl.col("is_resolved").count(), fcr_ratio=pl.col("is_resolved").mean())
    )
    return outcomes.join(topics, on="number").select("topic", "contact_count", "known_count", "fcr_ratio").sort("topic")
