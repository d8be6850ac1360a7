import polars as pl
from datetime import timedelta


def answer(scan):
    at, keys = pl.col("started_at"), ["customer_id", "topic"]
    same_before = pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in keys)
    by_customer = (
        scan("interactions")
        .select(*keys, "started_at")
        .filter(pl.col("customer_id").is_not_null(), pl.col("topic").is_not_null())
        .sort(*keys, "started_at")
        .select("customer_id", is_repeat=(same_before & (at - at.shift(1) <= timedelta(days=7))).fill_null(False))
        .group_by("customer_id")
        .agg(repeat_count=pl.col("is_repeat").sum().clip(upper_bound=4))
    )
    return (
        by_customer.join(scan("customers").select("customer_id", "churned_at"), on="customer_id")
        .group_by("repeat_count")
        .agg(customer_count=pl.len(), churn_ratio=pl.col("churned_at").is_not_null().mean())
        .sort("repeat_count")
    )
