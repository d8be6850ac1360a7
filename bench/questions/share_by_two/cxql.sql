select
    queue,
    channel,
    count(*) as contact_count,
    avg(cast(is_abandoned as integer)) as abandoned_ratio,
    cast(count(*) filter (where is_resolved) as double) / count(*) as resolved_ratio
from interactions
where queue is not null and channel is not null
group by queue, channel
order by queue, channel
