import polars as pl


def answer(scan):
    score = pl.col("score")
    answers = scan("surveys").filter(pl.col("kind") == "nps").select(
        "interaction_id",
        month=pl.col("responded_at").dt.truncate("1mo").dt.date(),
        point=pl.when(score.is_between(9, 10)).then(1).when(score.is_between(0, 6)).then(-1).when(score.is_between(7, 8)).then(0),
    )
    return (
        scan("interactions")
        .select("interaction_id", "product")
        .join(answers, on="interaction_id")
        .group_by("month", "product")
        .agg(answer_count=pl.len(), nps=100 * pl.col("point").mean())
        .sort("month", "product")
    )
