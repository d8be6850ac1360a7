import polars as pl
from datetime import datetime, timezone


def answer(scan):
    at = pl.col("started_at")
    months = (
        scan("interactions")
        .filter(pl.col("customer_id").is_not_null(), at < datetime(2026, 1, 1, tzinfo=timezone.utc))
        .select("customer_id", month=at.dt.year().cast(pl.Int32) * 12 + at.dt.month() - 1)
        .unique()
    )
    cohorts = months.group_by("customer_id").agg(cohort=pl.col("month").min())
    return finish(months.join(cohorts, on="customer_id").group_by("cohort", "month").agg(customer_count=pl.len()))


def finish(activity):
    cohort = pl.col("cohort")
    return (
        activity.sort("cohort", "month")
        .select(
            cohort_at=pl.date(cohort // 12, cohort % 12 + 1, 1),
            months_later=pl.col("month") - cohort,
            customer_count="customer_count",
            retention_ratio=pl.col("customer_count") / pl.col("customer_count").first().over("cohort"),
        )
        .sort("cohort_at", "months_later")
    )
