-- weekday 0 is Sunday, hours are UTC
select
    cast(date_part('dow', started_at) as int) as weekday,
    cast(date_part('hour', started_at) as int) as hour,
    count(*) as offered_count,
    service_level(wait_s, is_abandoned, 20) as service_level_ratio
from interactions
where direction = 'inbound' and channel in ('phone', 'chat')
group by weekday, hour
order by weekday, hour
