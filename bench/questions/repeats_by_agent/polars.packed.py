import polars as pl
from datetime import datetime, timezone

WINDOW = 7 * 86_400_000
BEGIN = int(datetime(2025, 1, 8, tzinfo=timezone.utc).timestamp()) * 1000  # a week after the beginning of the data


def answer(scan):
    # the number of the topic above the millisecond: fewer keys to sort, and a gap across topics is larger than any window
    contacts = scan("interactions").select("customer_id", "topic", "agent_id", "started_at").drop_nulls()
    topics = contacts.select(pl.col("topic").unique()).with_row_index("number")
    customer, step = pl.col("customer_id"), pl.col("step")
    return (
        contacts.join(topics, on="topic", maintain_order="left")
        .select(
            "customer_id", "agent_id", step=pl.col("number").cast(pl.Int64) * 2**50 + pl.col("started_at").dt.epoch("ms")
        )
        .sort("customer_id", "step", "agent_id")
        .select(
            "agent_id",
            is_repeat=pl.when(step % 2**50 >= BEGIN).then(
                ((customer == customer.shift(1)) & (step - step.shift(1) <= WINDOW)).fill_null(False)
            ),
        )
        .group_by("agent_id")
        .agg(contact_count=pl.len(), repeat_ratio=pl.col("is_repeat").mean())
        .sort("agent_id")
    )
