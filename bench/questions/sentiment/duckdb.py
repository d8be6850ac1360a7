from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

ANALYZER = SentimentIntensityAnalyzer()


def vader(text):
    return ANALYZER.polarity_scores(text)["compound"]


def answer(connection):
    connection.create_function("vader", vader, ["varchar"], "double")
    return connection.sql("""
        with texts as (
            select kind, score, comment from surveys
            where language = 'en' and comment is not null and score between 0 and 10 and survey_id <= 'S00100000'
        ),
        scores as materialized (
            select comment, vader(comment) as sentiment from (select distinct comment from texts)
        )
        select kind, score, count(*) as comment_count, avg(sentiment) as sentiment_avg
        from texts
        inner join scores using (comment)
        group by kind, score
        order by kind, score
    """).to_arrow_table()
