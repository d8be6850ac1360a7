import polars as pl


def answer(scan):
    score = pl.col("score")
    answers = scan("surveys").filter(pl.col("kind") == "csat").select(
        "interaction_id", is_satisfied=pl.when(score.is_between(1, 5)).then(score >= 4)
    )
    return (
        scan("interactions")
        .select("interaction_id", "channel", "queue")
        .join(answers, on="interaction_id")
        .group_by("channel", "queue")
        .agg(answer_count=pl.len(), csat_ratio=pl.col("is_satisfied").mean())
        .sort("channel", "queue")
    )
