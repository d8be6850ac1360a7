-- title: Customer satisfaction by channel
-- description: Share of answers in the top boxes of 1 to 5, by channel of the contact, with its Wilson interval.
-- grain: one row per channel, then one per month and channel
-- param: since timestamp = 1970-01-01     # first answer
-- param: until timestamp = 2200-01-01     # answers before this time
-- param: satisfied_from integer = 4       # lowest answer that counts as satisfied
-- section: By channel
-- chart: bar x=channel y=csat_ratio low=csat_low_ratio high=csat_high_ratio format=percent
-- check: csat_ratio between 0 and 1
-- check: csat_ratio between csat_low_ratio - 1e-9 and csat_high_ratio + 1e-9
-- check: mean_score between 1 and 5
-- alert: min(csat_ratio) filter (where answer_count >= 30) < 0.6
with answers as (
    select channel, score
    from survey_contacts
    where kind = 'csat' and score is not null and responded_at >= $since and responded_at < $until
),
by_channel as (
    select
        channel,
        count(*) as answer_count,
        count(*) filter (where score >= $satisfied_from) as satisfied_count,
        csat(score, $satisfied_from) as csat_ratio,
        csat_ci(score, 0.95, $satisfied_from) as csat_ci,
        avg(score) as mean_score
    from answers
    group by channel
)
select
    channel,
    answer_count,
    satisfied_count,
    csat_ratio,
    csat_ci['low'] as csat_low_ratio,
    csat_ci['high'] as csat_high_ratio,
    mean_score
from by_channel
order by answer_count desc, channel;

-- section: By month and channel
-- chart: line x=month y=csat_ratio series=channel partial=is_partial base=answer_count format=percent
-- check: csat_ratio between 0 and 1
with answers as (
    select cast(date_trunc('month', responded_at) as date) as month, channel, score
    from survey_contacts
    where kind = 'csat' and score is not null and responded_at >= $since and responded_at < $until
),
by_month as (
    select
        month,
        channel,
        count(*) as answer_count,
        csat(score, $satisfied_from) as csat_ratio,
        avg(score) as mean_score
    from answers
    group by month, channel
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from answer_period
)
select
    month,
    channel,
    answer_count,
    csat_ratio,
    mean_score,
    month < covered_from or month + interval '1 month' > covered_until as is_partial
from by_month cross join bounds
order by month, channel;

-- notes: answers without a score on the scale
with figures as (
    select count(*) as answer_count, count(*) - count(score) as unusable_count
    from surveys_clean
    where kind = 'csat' and responded_at >= $since and responded_at < $until
)
select unusable_count || ' of ' || answer_count || ' CSAT answers have no score on the scale: left out'
from figures
where unusable_count > 0;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
