-- whole hours since 1970-01-01, a Thursday: parts of a timestamp with a zone are slow
with contacts as (
    select arrow_cast(started_at, 'Int64') / 3600000000 as hour_number, wait_s, is_abandoned
    from interactions
    where direction = 'inbound' and channel in ('phone', 'chat')
)
select
    (hour_number / 24 + 4) % 7 as weekday,
    hour_number % 24 as hour,
    count(*) as offered_count,
    avg(case when wait_s < 0 or is_abandoned is null then null when wait_s <= 20 and not is_abandoned then 1.0 when wait_s >= 0 then 0.0 end)
        as service_level_ratio
from contacts
group by 1, 2
order by 1, 2
