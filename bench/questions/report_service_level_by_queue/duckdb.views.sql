-- read: ../../views/duckdb.sql
-- clock
with contacts as (
    select queue, wait_s, is_abandoned
    from contacts_clean
    where is_offered and started_at >= timestamptz '1970-01-01 00:00:00+00' and started_at < timestamptz '2200-01-01 00:00:00+00'
),
counts as (
    select
        queue,
        count(*) filter (not is_abandoned and wait_s is not null) as answered,
        count(*) filter (not is_abandoned and wait_s <= 20) as answered_within,
        count(*) filter (is_abandoned) as abandoned,
        count(*) filter (is_abandoned and wait_s is not null) as abandoned_known,
        count(*) filter (is_abandoned and wait_s <= 20) as abandoned_within,
        count(*) filter (is_abandoned and wait_s <= 5) as short_abandoned
    from contacts
    group by queue
)
select
    queue,
    answered + abandoned as offered_count,
    answered as answered_count,
    abandoned as abandoned_count,
    abandoned - abandoned_known as abandoned_without_wait_count,
    answered_within / nullif(answered + abandoned, 0) as offered_ratio,
    answered_within / nullif(answered, 0) as answered_ratio,
    answered_within / nullif(answered + abandoned_known - abandoned_within, 0) as late_abandons_ratio,
    (answered_within + abandoned_within) / nullif(answered + abandoned_known, 0) as abandons_met_ratio,
    (answered_within + short_abandoned) / nullif(answered + abandoned_known, 0) as short_met_ratio,
    answered_within / nullif(answered + abandoned_known - short_abandoned, 0) as short_excluded_ratio
from counts
order by offered_count desc, queue;

with contacts as (
    select date_trunc('week', utc(started_at))::date as week, queue, wait_s, is_abandoned
    from contacts_clean
    where is_offered and started_at >= timestamptz '1970-01-01 00:00:00+00' and started_at < timestamptz '2200-01-01 00:00:00+00'
),
by_week as (
    select
        week,
        queue,
        count(*) filter (is_abandoned or not is_abandoned and wait_s is not null) as offered_count,
        count(*) filter (not is_abandoned and wait_s <= 20) / nullif(offered_count, 0) as service_level_ratio,
        avg(wait_s) filter (not coalesce(is_abandoned, false)) as asa_s
    from contacts
    group by week, queue
),
bounds as (
    select
        greatest(covered_from, timestamptz '1970-01-01 00:00:00+00') as covered_from,
        least(covered_until, timestamptz '2200-01-01 00:00:00+00') as covered_until
    from covered_period
)
select
    week,
    queue,
    offered_count,
    service_level_ratio,
    asa_s,
    week < covered_from or week + interval '1 week' > covered_until as is_partial
from by_week cross join bounds
order by week, queue;
