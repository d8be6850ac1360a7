import polars as pl


def answer(scan):
    return (
        scan("interactions")
        .filter(pl.col("wait_s") >= 0, pl.col("queue").is_not_null())
        .group_by("queue")
        .agg(
            pl.col("wait_s").quantile(share, "linear").alias(name)
            for name, share in (("p50_s", 0.5), ("p90_s", 0.9), ("p99_s", 0.99))
        )
        .sort("queue")
    )
