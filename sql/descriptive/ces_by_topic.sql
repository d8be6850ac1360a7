-- title: Customer effort by topic
-- description: Mean of the effort answers from 1 to 7 with its Student interval, and the share of 5 and more.
-- The two are different figures and neither is called the score. A single answer has no interval.
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
        ces_mean(score) as mean_effort,
        mean_ci(score) as effort_ci,
        ces_ratio(score) as easy_ratio
    from answers
    group by topic
)
select
    topic,
    answer_count,
    mean_effort,
    effort_ci['low'] as effort_low,
    effort_ci['high'] as effort_high,
    easy_ratio
from by_topic
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
