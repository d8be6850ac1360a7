-- title: Survey response
-- description: How many answered contacts got a survey answer, by channel and kind, and how many answers can be used.
-- A figure from few answers, or from one channel only, does not speak for all contacts.
-- grain: one row per channel and kind of survey
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- chart: bar x=channel y=response_ratio series=kind format=percent
-- check: response_ratio between 0 and 1
-- check: valid_count <= answer_count
with contacts as (
    select channel, count(*) as contact_count
    from contacts_clean
    where is_answered and started_at >= $since and started_at < $until
    group by channel
),
answers as (
    select
        channel,
        kind,
        count(*) as answer_count,
        count(distinct interaction_id) as surveyed_count,
        count(score) as valid_count
    from survey_contacts
    where started_at >= $since and started_at < $until
    group by channel, kind
)
select
    answers.channel,
    kind,
    contact_count,
    surveyed_count,
    least(surveyed_count / cast(contact_count as double), 1.0) as response_ratio,
    answer_count,
    valid_count
from answers
inner join contacts on contacts.channel is not distinct from answers.channel
order by contact_count desc, answers.channel, kind
