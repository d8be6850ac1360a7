import polars as pl


def answer(scan):
    wait, abandoned = pl.col("wait_s"), pl.col("is_abandoned")
    within = pl.when((wait >= 0) & abandoned.is_not_null()).then((wait <= 20) & ~abandoned)
    return (
        scan("interactions")
        .filter(pl.col("direction") == "inbound", pl.col("channel").is_in(["phone", "chat"]))
        .group_by(weekday=pl.col("started_at").dt.weekday() % 7, hour=pl.col("started_at").dt.hour())
        .agg(offered_count=pl.len(), service_level_ratio=within.mean())
        .sort("weekday", "hour")
    )
