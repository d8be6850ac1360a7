-- make_timestamp: parts of a timestamp with a zone go through calendars
with contacts as (
    select make_timestamp(epoch_us(started_at)) as started_at, wait_s, is_abandoned
    from interactions
    where direction = 'inbound' and channel in ('phone', 'chat')
)
select
    dayofweek(started_at) as weekday,
    hour(started_at) as hour,
    count(*) as offered_count,
    count(*) filter (wait_s between 0 and 20 and not is_abandoned)
        / nullif(count(*) filter (wait_s >= 0 and is_abandoned is not null), 0) as service_level_ratio
from contacts
group by all
order by weekday, hour
