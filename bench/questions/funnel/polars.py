import polars as pl

STEPS = ["search", "product", "cart", "checkout", "purchase"]
DAY = 86_400_000_000


def answer(scan):
    # sorted by customer and instant: for each row the latest search from which a chain of steps leads up to it;
    # filled forward within the customer, since the latest chain of a step is the one that can go on longest
    at, customer = pl.col("at"), pl.col("customer")
    frame = (
        scan("events")
        .filter(pl.col("customer_id").is_not_null(), pl.col("event").is_in(STEPS))
        .select("customer_id", "event", at=pl.col("occurred_at").to_physical())
        .sort("customer_id", "at")
        .with_columns(customer=pl.col("customer_id").rle_id())
        .with_columns(first=customer != customer.shift(1, fill_value=2**32 - 1))
        .with_columns(chain_1=pl.when(pl.col("event") == STEPS[0]).then(at))
    )
    for number, step in enumerate(STEPS[1:], 2):
        # the chain of the step before, up to the row before, of the same customer
        chain = pl.col(f"chain_{number - 1}")
        known = pl.when(pl.col("first")).then(None).otherwise(chain.shift(1))
        # a marker where the customer changes stops the filling
        marked = pl.when(pl.col("first")).then(pl.lit(-DAY * 40_000, pl.Int64)).otherwise(known)
        frame = frame.with_columns(before=marked.forward_fill()).with_columns(
            pl.when((pl.col("event") == step) & (at - pl.col("before") <= DAY)).then(pl.col("before")).alias(f"chain_{number}")
        )
    reached = pl.max_horizontal(
        pl.when(pl.col(f"chain_{number}").is_not_null()).then(pl.lit(number, pl.UInt8)).otherwise(pl.lit(0, pl.UInt8))
        for number in range(1, len(STEPS) + 1)
    )
    return (
        frame.select("customer", reached=reached)
        .group_by("customer")
        .agg(step_count=pl.col("reached").max())
        .group_by("step_count")
        .agg(customer_count=pl.len())
        .sort("step_count")
    )
