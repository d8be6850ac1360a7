-- durations are whole seconds: each one of a queue and channel counted once, all else over these counts
with counted as materialized (
    select
        queue,
        channel,
        coalesce(talk_s, 0) + coalesce(hold_s, 0) + coalesce(wrap_s, 0) as handle_s,
        count(*) as contact_count
    from interactions
    where queue is not null and channel is not null
    group by all
),
means as (
    select queue, channel, sum(handle_s * contact_count) / sum(contact_count) as mean from counted group by queue, channel
),
moments as (
    select
        queue,
        channel,
        any_value(mean) as mean,
        sqrt(sum(contact_count * (handle_s - mean) ** 2) / (sum(contact_count) - 1)) as deviation
    from counted
    inner join means using (queue, channel)
    group by queue, channel
)
select
    queue,
    channel,
    cast(sum(contact_count) as bigint) as contact_count,
    cast(coalesce(sum(contact_count) filter (abs(handle_s - mean) > 3 * deviation), 0) as bigint) as outlier_count,
    max(handle_s - mean) / any_value(deviation) as score_max
from counted
inner join moments using (queue, channel)
group by queue, channel
order by queue, channel
