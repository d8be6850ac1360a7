import pyarrow as pa
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

ANALYZER = SentimentIntensityAnalyzer()


def answer(client):
    # a group is kind, score and comment: as few texts as possible come out, and their scores are weighed in Python
    texts = client.query("""
        select kind, score, comment, count() as comment_count
        from file(
            'surveys.parquet', Parquet,
            'survey_id String, kind LowCardinality(String), score Nullable(Int32), comment String, language LowCardinality(String)'
        )
        where language = 'en' and comment <> '' and score between 0 and 10 and survey_id <= 'S00100000'
        group by kind, score, comment
    """, "ArrowTable")
    unique = {text: ANALYZER.polarity_scores(text)["compound"] for text in set(texts["comment"].to_pylist())}
    sums = {}
    for kind, score, text, number in zip(*(column.to_pylist() for column in texts.columns)):
        known = sums.setdefault((kind, score), [0, 0.0])
        known[0] += number
        known[1] += number * unique[text]
    rows = [
        {"kind": kind, "score": score, "comment_count": number, "sentiment_avg": total / number}
        for (kind, score), (number, total) in sorted(sums.items())
    ]
    return pa.Table.from_pylist(rows)
