-- title: Service level by queue
-- description: Service level per queue and day, and what the same contacts give under each usual definition.
-- The definitions differ in how abandoned contacts count; see the page of service_level. A figure without its
-- definition cannot be compared with another's. offered_count is what offered_ratio rests on: contacts that were
-- abandoned, and answered ones with a wait.
-- grain: one row per queue, then one per week and queue
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: threshold_s float >= 0 = 20      # answered within this many seconds
-- param: short_s float >= 0 = 5           # abandoned within this many seconds counts as a short abandon
-- section: By queue and definition
-- chart: bar x=queue y=offered_ratio,answered_ratio,late_abandons_ratio format=percent
-- check: offered_ratio between 0 and 1
-- check: offered_ratio <= answered_ratio + 1e-9
-- check: offered_ratio <= late_abandons_ratio + 1e-9
with contacts as (
    select queue, wait_s, is_abandoned
    from contacts_clean
    where is_offered and started_at >= $since and started_at < $until
)
select
    queue,
    count(*) filter (where is_abandoned or not is_abandoned and wait_s is not null) as offered_count,
    count(*) filter (where not is_abandoned and wait_s is not null) as answered_count,
    count(*) filter (where is_abandoned) as abandoned_count,
    count(*) filter (where is_abandoned and wait_s is null) as abandoned_without_wait_count,
    service_level(wait_s, is_abandoned, $threshold_s) as offered_ratio,
    service_level(wait_s, is_abandoned, $threshold_s, 'answered') as answered_ratio,
    service_level(wait_s, is_abandoned, $threshold_s, 'late_abandons') as late_abandons_ratio,
    service_level(wait_s, is_abandoned, $threshold_s, 'abandons_met') as abandons_met_ratio,
    service_level(wait_s, is_abandoned, $threshold_s, 'short_met', $short_s) as short_met_ratio,
    service_level(wait_s, is_abandoned, $threshold_s, 'short_excluded', $short_s) as short_excluded_ratio
from contacts
group by queue
order by offered_count desc, queue;

-- section: By week and queue
-- chart: line x=week y=service_level_ratio series=queue partial=is_partial base=offered_count format=percent
-- check: service_level_ratio between 0 and 1
with contacts as (
    select cast(date_trunc('week', started_at) as date) as week, queue, wait_s, is_abandoned
    from contacts_clean
    where is_offered and started_at >= $since and started_at < $until
),
by_week as (
    select
        week,
        queue,
        count(*) filter (where is_abandoned or not is_abandoned and wait_s is not null) as offered_count,
        service_level(wait_s, is_abandoned, $threshold_s) as service_level_ratio,
        avg(wait_s) filter (where not coalesce(is_abandoned, false)) as asa_s
    from contacts
    group by week, queue
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
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

-- notes: contacts without an outcome or a wait
with figures as (
    select
        count(*) as offered_count,
        count(*) - count(is_abandoned) as unknown_count,
        count(*) filter (where not is_abandoned) as answered_count,
        count(*) filter (where not is_abandoned and wait_s is null) as answered_without_wait_count,
        count(*) filter (where is_abandoned) as abandoned_count,
        count(*) filter (where is_abandoned and wait_s is null) as abandoned_without_wait_count
    from contacts_clean
    where is_offered and started_at >= $since and started_at < $until
)
select unnest([
    case when unknown_count > 0 then
        unknown_count || ' of ' || offered_count || ' offered contacts are left out: abandoned or not is unknown'
    end,
    case when answered_without_wait_count > 0 then
        answered_without_wait_count || ' of ' || answered_count || ' answered contacts are left out: they have no wait'
    end,
    case when abandoned_without_wait_count > 0 then
        abandoned_without_wait_count || ' of ' || abandoned_count || ' abandoned contacts have no wait: they count in '
        || 'offered_ratio and are left out of the definitions that need their wait'
    end
])
from figures;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
