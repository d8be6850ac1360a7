-- title: Customer effort by topic
-- description: Mean of the effort answers from 1 to 7 with its Student interval, and the share of 5 and more.
-- The two are different figures and neither is called the score. The quantile of Student's t is expanded around the
-- normal one (Abramowitz and Stegun 26.7.5), good to 0.01 from 5 answers on; with fewer the interval is left out.
-- grain: one row per topic
-- param: since timestamp = 1970-01-01     # first answer
-- param: until timestamp = 2200-01-01     # answers before this time
-- chart: bar x=topic y=mean_effort low=effort_low high=effort_high title="Customer effort, mean of 1 to 7"
-- check: mean_effort between 1 and 7
-- check: mean_effort between effort_low - 1e-9 and effort_high + 1e-9
-- check: easy_ratio between 0 and 1
with answers as (
    select topic, score
    from survey_contacts
    where kind = 'ces' and score is not null and responded_at >= $since and responded_at < $until
),
by_topic as (
    select
        topic,
        count(*) as answer_count,
        avg(score) as mean_effort,
        csat(score, 5, 7) as easy_ratio,
        stddev(score) / sqrt(count(*)) as standard_error,
        case when count(*) >= 5 then count(*) - 1.0 end as freedom
    from answers
    group by topic
),
with_quantile as (
    select
        *,
        1.96 + 2.3722 / freedom + 2.8225 / power(freedom, 2) + 2.5560 / power(freedom, 3) as quantile
    from by_topic
)
select
    topic,
    answer_count,
    mean_effort,
    mean_effort - quantile * standard_error as effort_low,
    mean_effort + quantile * standard_error as effort_high,
    easy_ratio
from with_quantile
order by mean_effort, topic;

-- notes: answers without a score on the scale
with figures as (
    select count(*) as answer_count, count(*) - count(score) as unusable_count
    from surveys_clean
    where kind = 'ces' and responded_at >= $since and responded_at < $until
)
select unusable_count || ' of ' || answer_count || ' CES answers have no score on the scale: left out'
from figures
where unusable_count > 0
