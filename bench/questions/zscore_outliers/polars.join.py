import polars as pl


def answer(scan):
    contacts = scan("interactions").select("agent_id", "talk_s").filter(pl.col("agent_id").is_not_null())
    moments = contacts.group_by("agent_id").agg(mean=pl.col("talk_s").mean(), deviation=pl.col("talk_s").std())
    score = (pl.col("talk_s") - pl.col("mean")) / pl.col("deviation")
    return (
        contacts.join(moments, on="agent_id")
        .select("agent_id", score=score)
        .group_by("agent_id")
        .agg(contact_count=pl.len(), outlier_count=(pl.col("score").abs() > 3).sum(), score_max=pl.col("score").max())
        .sort("agent_id")
    )
