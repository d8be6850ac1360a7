-- title: Observed period
-- description: The stretch of time that the data covers.
-- Whether a contact was followed by another is known up to observed_until only. It comes from the contacts' own starts,
-- so that an old extract gives the same figures on any day; starts in the future are no observations. Neither are strays:
-- contacts before a gap of more than 30 days without any, which with all others before it are at most 1 % of the contacts,
-- such as one of 1970 from a clock that was not set. observed_from is the first start after them, stray_count counts them.
-- is_topic_recorded says whether any contact has a topic.
-- grain: one row
-- check: observed_from <= observed_until
with days as (
    select
        date_trunc('day', started_at) as day,
        min(started_at) as first_at,
        max(started_at) as last_at,
        count(*) as contact_count,
        count(topic) as topic_count
    from interactions
    where started_at <= now()
    group by date_trunc('day', started_at)
),
with_gaps as (
    select
        *,
        lag(last_at) over (order by day) as previous_at,
        sum(contact_count) over (order by day) - contact_count as earlier_count,
        sum(contact_count) over () as all_count
    from days
),
beginnings as (
    select
        *,
        max(case when first_at > previous_at + interval '30 days' and earlier_count <= 0.01 * all_count then first_at end)
            over () as after_strays_at
    from with_gaps
)
select
    coalesce(max(after_strays_at), min(first_at)) as observed_from,
    max(last_at) as observed_until,
    coalesce(sum(topic_count) > 0, false) as is_topic_recorded,
    cast(coalesce(sum(contact_count) filter (where first_at < after_strays_at), 0) as bigint) as stray_count
from beginnings
