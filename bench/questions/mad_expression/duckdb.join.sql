with contacts as (
    select queue, channel, coalesce(talk_s, 0) + coalesce(hold_s, 0) + coalesce(wrap_s, 0) as handle_s
    from interactions
    where queue is not null and channel is not null
),
medians as (
    select queue, channel, median(handle_s) as middle, mad(handle_s::double) as deviation from contacts group by queue, channel
)
select
    queue,
    channel,
    count(*) as contact_count,
    count(*) filter (abs(0.6745 * (handle_s - middle) / deviation) > 3.5) as outlier_count,
    max(0.6745 * (handle_s - middle) / deviation) as score_max
from contacts
inner join medians using (queue, channel)
group by queue, channel
order by queue, channel
