-- title: Sentiment by topic
-- description: What customers write, in contacts and in survey comments, from -1 to 1 by topic and month.
-- positive_ratio and negative_ratio count texts from .05 up and from -.05 down. Texts in a language that the
-- sentiment functions do not read are not scored; scored_count says how many are.
-- grain: one row per source and topic, then one per month and source
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- section: By source and topic
-- chart: bar x=topic y=mean_sentiment series=source
-- check: mean_sentiment between -1 and 1
-- check: positive_ratio + negative_ratio <= 1 + 1e-9
-- check: scored_count <= text_count
with texts as (
    select source, topic, sentiment
    from text_sentiments
    where written_at >= $since and written_at < $until
)
select
    source,
    topic,
    count(*) as text_count,
    count(sentiment) as scored_count,
    avg(sentiment) as mean_sentiment,
    1.96 * stddev(sentiment) / sqrt(count(sentiment)) as sentiment_margin,
    rate(sentiment >= 0.05) as positive_ratio,
    rate(sentiment <= -0.05) as negative_ratio
from texts
group by source, topic
order by source, mean_sentiment nulls last, topic;

-- section: By month and source
-- chart: line x=month y=mean_sentiment series=source partial=is_partial base=scored_count
-- check: mean_sentiment between -1 and 1
with texts as (
    select cast(date_trunc('month', written_at) as date) as month, source, sentiment
    from text_sentiments
    where written_at >= $since and written_at < $until
),
by_month as (
    select
        month,
        source,
        count(*) as text_count,
        count(sentiment) as scored_count,
        avg(sentiment) as mean_sentiment,
        rate(sentiment <= -0.05) as negative_ratio
    from texts
    group by month, source
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from covered_period
)
select
    month,
    source,
    text_count,
    scored_count,
    mean_sentiment,
    negative_ratio,
    month < covered_from or month + interval '1 month' > covered_until as is_partial
from by_month cross join bounds
order by month, source;

-- notes: texts that cannot be read
with figures as (
    select count(*) as text_count, count(*) - count(sentiment) as unread_count
    from text_sentiments
    where written_at >= $since and written_at < $until
)
select unread_count || ' of ' || text_count || ' texts are in a language or script that is not read: left out'
from figures
where unread_count > 0;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
