-- title: Understaffed hours
-- description: Hours of the week in which a queue answers far fewer contacts in time than in its other hours.
-- Compares each queue, weekday and hour with the whole queue by a z-score of the share answered in time. Weekdays run
-- from 1, Monday, to 7, Sunday. Hours are those of time_zone, by default UTC. extra_late_count is how many contacts
-- waited too long beyond the queue's usual.
-- grain: one row per queue, weekday and hour that stands out
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: threshold_s float >= 0 = 20      # answered within this many seconds
-- param: z_limit float >= 0 = 3           # standard deviations below the queue's usual
-- param: min_offered_count integer >= 0 = 10  # hours with fewer contacts are left out
-- check: service_level_ratio < queue_service_level_ratio
-- check: service_level_ratio between 0 and 1
-- alert: count(*) > 0
with contacts as (
    select
        queue,
        (cast(date_part('dow', started_at) as int) + 6) % 7 + 1 as weekday,
        cast(date_part('hour', started_at) as int) as hour,
        wait_s,
        is_abandoned
    from contacts_clean
    where is_offered and (is_abandoned or not is_abandoned and wait_s is not null)
        and started_at >= $since and started_at < $until
),
by_queue as (
    select queue, service_level(wait_s, is_abandoned, $threshold_s) as queue_service_level_ratio
    from contacts
    group by queue
),
by_hour as (
    select
        queue,
        weekday,
        hour,
        count(*) as offered_count,
        service_level(wait_s, is_abandoned, $threshold_s) as service_level_ratio,
        avg(wait_s) as wait_mean_s,
        rate(is_abandoned) as abandonment_ratio
    from contacts
    group by queue, weekday, hour
),
compared as (
    select
        by_hour.*,
        queue_service_level_ratio,
        (service_level_ratio - queue_service_level_ratio) / nullif(
            sqrt(queue_service_level_ratio * (1 - queue_service_level_ratio) / offered_count), 0
        ) as zscore
    from by_hour
    inner join by_queue on by_queue.queue is not distinct from by_hour.queue
)
select
    queue,
    weekday,
    hour,
    offered_count,
    service_level_ratio,
    queue_service_level_ratio,
    zscore,
    (queue_service_level_ratio - service_level_ratio) * offered_count as extra_late_count,
    wait_mean_s,
    abandonment_ratio
from compared
where zscore <= -$z_limit and offered_count >= $min_offered_count
order by zscore, queue, weekday, hour;

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
        abandoned_without_wait_count || ' of ' || abandoned_count || ' abandoned contacts have no wait: they count '
        || 'as not answered in time'
    end
])
from figures
