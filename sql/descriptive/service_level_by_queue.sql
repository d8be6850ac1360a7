-- title: Service level by queue
-- description: Service level per queue and day, and what the same contacts give under each usual definition.
-- The definitions differ in how abandoned contacts count; see the page of service_level. A figure without its
-- definition cannot be compared with another's.
-- grain: one row per queue, then one per week and queue
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: threshold_s float = 20           # answered within this many seconds
-- param: short_s float = 5                # abandoned within this many seconds counts as a short abandon
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
    count(*) as offered_count,
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
-- chart: line x=week y=service_level_ratio series=queue format=percent
-- check: service_level_ratio between 0 and 1
with contacts as (
    select cast(date_trunc('week', started_at) as date) as week, queue, wait_s, is_abandoned
    from contacts_clean
    where is_offered and started_at >= $since and started_at < $until
)
select
    week,
    queue,
    count(*) as offered_count,
    service_level(wait_s, is_abandoned, $threshold_s) as service_level_ratio,
    avg(wait_s) filter (where not coalesce(is_abandoned, false)) as asa_s
from contacts
group by week, queue
order by week, queue
