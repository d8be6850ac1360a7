-- whole hours since 1970-01-01, a Thursday, counted first
with hours as (
    select
        epoch_us(started_at) // 3600000000 as hour_number,
        count(*) as offered_count,
        count(*) filter (wait_s between 0 and 20 and not is_abandoned) as within_count,
        count(*) filter (wait_s >= 0 and is_abandoned is not null) as known_count
    from interactions
    where direction = 'inbound' and channel in ('phone', 'chat')
    group by hour_number
)
select
    (hour_number // 24 + 4) % 7 as weekday,
    hour_number % 24 as hour,
    cast(sum(offered_count) as bigint) as offered_count,
    sum(within_count) / nullif(sum(known_count), 0) as service_level_ratio
from hours
group by all
order by weekday, hour
