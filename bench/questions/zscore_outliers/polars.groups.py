import polars as pl


def answer(scan):
    talk = pl.col("talk_s")
    score = (talk - talk.mean()) / talk.std()
    return (
        scan("interactions")
        .filter(pl.col("agent_id").is_not_null())
        .group_by("agent_id")
        .agg(contact_count=pl.len(), outlier_count=(score.abs() > 3).sum(), score_max=score.max())
        .sort("agent_id")
    )
