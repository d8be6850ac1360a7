import polars as pl
from datetime import datetime, timezone


def answer(scan):
    # a bit for each month in which a customer was active, then the few hundred different patterns
    at = pl.col("started_at")
    month = at.dt.year().cast(pl.Int64) * 12 + at.dt.month() - 12 * 2025 - 1
    patterns = (
        scan("interactions")
        .filter(pl.col("customer_id").is_not_null(), at < datetime(2026, 1, 1, tzinfo=timezone.utc))
        .select("customer_id", bit=pl.lit(2, pl.Int64).pow(month))
        .group_by("customer_id")
        .agg(pattern=pl.col("bit").bitwise_or())
        .group_by("pattern")
        .agg(n=pl.len())
    )
    months = pl.LazyFrame({"month": list(range(62))}, schema={"month": pl.Int64})
    return (
        patterns.join(months, how="cross")
        .filter((pl.col("pattern") // pl.lit(2, pl.Int64).pow(pl.col("month"))) % 2 == 1)
        .with_columns(cohort=pl.col("month").min().over("pattern"))
        .group_by("cohort", "month")
        .agg(customer_count=pl.col("n").sum())
        .sort("cohort", "month")
        .select(
            cohort_at=pl.date(2025 + pl.col("cohort") // 12, pl.col("cohort") % 12 + 1, 1),
            months_later=pl.col("month") - pl.col("cohort"),
            customer_count="customer_count",
            retention_ratio=pl.col("customer_count") / pl.col("customer_count").first().over("cohort"),
        )
        .sort("cohort_at", "months_later")
    )
