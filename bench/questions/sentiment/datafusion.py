import pyarrow as pa
from datafusion import udf
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

ANALYZER = SentimentIntensityAnalyzer()


def vader(texts):
    return pa.array([ANALYZER.polarity_scores(text)["compound"] for text in texts.to_pylist()], pa.float64())


def answer(context):
    context.register_udf(udf(vader, [pa.string()], pa.float64(), "immutable", "vader"))
    return context.sql("""
        with texts as (
            select kind, score, cast(comment as varchar) as comment from surveys
            where language = 'en' and comment is not null and score between 0 and 10 and survey_id <= 'S00100000'
        ),
        scores as (
            select comment, vader(comment) as sentiment from (select distinct comment from texts)
        )
        select kind, score, count(*) as comment_count, avg(sentiment) as sentiment_avg
        from texts
        inner join scores on scores.comment = texts.comment
        group by kind, score
        order by kind, score
    """)
