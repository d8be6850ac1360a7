import polars as pl
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

ANALYZER = SentimentIntensityAnalyzer()


def answer(scan):
    texts = (
        scan("surveys")
        .filter(
            pl.col("language") == "en", pl.col("comment").is_not_null(), pl.col("score").is_between(0, 10),
            pl.col("survey_id") <= "S00100000",
        )
        .select("kind", "score", "comment")
        .collect()
    )
    unique = texts["comment"].unique()
    scores = [ANALYZER.polarity_scores(text)["compound"] for text in unique]
    return (
        texts.join(pl.DataFrame({"comment": unique, "sentiment": scores}), on="comment")
        .group_by("kind", "score")
        .agg(comment_count=pl.len(), sentiment_avg=pl.col("sentiment").mean())
        .sort("kind", "score")
    )
