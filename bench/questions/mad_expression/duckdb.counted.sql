-- durations are whole seconds: each one of a queue and channel counted once, the medians from running sums of these counts
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
known as (
    select queue, channel, handle_s as x, contact_count from counted
),
ranked as (
    select queue, channel, x, sum(contact_count) over (partition by queue, channel order by x) as up_to, sum(contact_count) over (partition by queue, channel) as n
    from known
),
middles as (
    select queue, channel, (min(x) filter (up_to >= (n + 1) // 2) + min(x) filter (up_to >= n // 2 + 1)) / 2 as middle
    from ranked
    group by queue, channel
),
distances as (
    select queue, channel, abs(x - middle) as x, sum(contact_count) as contact_count
    from known
    inner join middles using (queue, channel)
    group by all
),
distance_ranks as (
    select queue, channel, x, sum(contact_count) over (partition by queue, channel order by x) as up_to, sum(contact_count) over (partition by queue, channel) as n
    from distances
),
deviations as (
    select queue, channel, (min(x) filter (up_to >= (n + 1) // 2) + min(x) filter (up_to >= n // 2 + 1)) / 2 as deviation
    from distance_ranks
    group by queue, channel
)
select
    queue,
    channel,
    cast(sum(contact_count) as bigint) as contact_count,
    cast(coalesce(sum(contact_count) filter (abs(0.6745 * (handle_s - middle) / deviation) > 3.5), 0) as bigint) as outlier_count,
    max(0.6745 * (handle_s - middle) / deviation) as score_max
from counted
inner join middles using (queue, channel)
inner join deviations using (queue, channel)
group by queue, channel
order by queue, channel
