import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import polars as pl
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

# Python's threads share one lock: a process for each thread that the others have, started before the clock
ANALYZER = SentimentIntensityAnalyzer()


def vader(texts):
    return [ANALYZER.polarity_scores(text)["compound"] for text in texts]


WORKERS = int(os.environ["POLARS_MAX_THREADS"])
POOL = ProcessPoolExecutor(WORKERS, mp_context=get_context("fork"))
list(POOL.map(vader, [["started"]] * WORKERS))


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
    parts = [unique[start::WORKERS] for start in range(WORKERS)]
    scores = list(POOL.map(vader, [part.to_list() for part in parts]))
    POOL.shutdown()
    rated = pl.concat(pl.DataFrame({"comment": part, "sentiment": values}) for part, values in zip(parts, scores))
    return (
        texts.join(rated, on="comment")
        .group_by("kind", "score")
        .agg(comment_count=pl.len(), sentiment_avg=pl.col("sentiment").mean())
        .sort("kind", "score")
    )
