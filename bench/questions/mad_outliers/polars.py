import polars as pl


def answer(scan):
    talk = pl.col("talk_s")
    distance = talk - talk.median()
    score = 0.6745 * distance / distance.abs().median()
    return (
        scan("interactions")
        .filter(pl.col("queue").is_not_null())
        .group_by("queue")
        .agg(contact_count=pl.len(), outlier_count=(score.abs() > 3.5).sum(), score_max=score.max())
        .sort("queue")
    )
