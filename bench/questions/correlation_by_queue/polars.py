import polars as pl


def answer(scan):
    talk, wait = pl.col("talk_s"), pl.col("wait_s")
    both = talk.is_not_null() & wait.is_not_null()
    return (
        scan("interactions")
        .filter(pl.col("queue").is_not_null())
        .group_by("queue")
        .agg(
            contact_count=pl.len(),
            correlation=pl.corr(talk.filter(both), wait.filter(both)),
            slope=pl.cov(talk.filter(both), wait.filter(both)) / wait.filter(both).var(),
        )
        .sort("queue")
    )
