-- title: Service level by hour of the week
-- description: Share of contacts answered in time for each of the 168 hours of the week.
-- Every hour has a row, so that an hour without contacts shows as NULL and not as a gap. Weekdays run from 1, Monday,
-- to 7, Sunday. Hours are those of time_zone, by default UTC.
-- grain: one row per weekday and hour
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: threshold_s float >= 0 = 20      # answered within this many seconds
-- param: queue text like contacts_clean.queue = %  # a queue, or a pattern of LIKE
-- chart: heatmap x=hour y=weekday value=service_level_ratio format=percent
-- check: service_level_ratio between 0 and 1
-- check: weekday between 1 and 7 and hour between 0 and 23
-- alert: min(service_level_ratio) filter (where offered_count >= 30) < 0.5
with contacts as (
    select
        (cast(date_part('dow', started_at) as int) + 6) % 7 + 1 as weekday,
        cast(date_part('hour', started_at) as int) as hour,
        wait_s,
        is_abandoned
    from contacts_clean
    where is_offered and coalesce(queue, '') like $queue and started_at >= $since and started_at < $until
),
hours as (
    select weekdays.value as weekday, hours.value as hour
    from range(1, 8) as weekdays cross join range(0, 24) as hours
),
by_hour as (
    select
        weekday,
        hour,
        count(*) filter (where is_abandoned or not is_abandoned and wait_s is not null) as offered_count,
        count(*) filter (where is_abandoned) as abandoned_count,
        service_level(wait_s, is_abandoned, $threshold_s) as service_level_ratio,
        avg(wait_s) filter (where not coalesce(is_abandoned, false)) as asa_s
    from contacts
    group by weekday, hour
)
select
    hours.weekday,
    hours.hour,
    coalesce(offered_count, 0) as offered_count,
    coalesce(abandoned_count, 0) as abandoned_count,
    service_level_ratio,
    asa_s
from hours
left join by_hour on by_hour.weekday = hours.weekday and by_hour.hour = hours.hour
order by hours.weekday, hours.hour;

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
    where is_offered and coalesce(queue, '') like $queue and started_at >= $since and started_at < $until
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
