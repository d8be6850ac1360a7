with contacts as (
    select queue, channel, coalesce(talk_s, 0) + coalesce(hold_s, 0) + coalesce(wrap_s, 0) as handle_s
    from interactions
    where queue is not null and channel is not null
),
moments as (
    select queue, channel, avg(handle_s) as mean, stddev_samp(handle_s) as deviation from contacts group by queue, channel
)
select
    queue,
    channel,
    count(*) as contact_count,
    count(*) filter (abs(handle_s - mean) > 3 * deviation) as outlier_count,
    max(handle_s - mean) / any_value(deviation) as score_max
from contacts
inner join moments using (queue, channel)
group by queue, channel
order by queue, channel
