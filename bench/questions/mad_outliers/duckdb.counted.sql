-- durations are whole seconds: each one of a queue counted once, the medians from running sums of these counts
with counted as materialized (
    select queue, talk_s, count(*) as contact_count from interactions where queue is not null group by all
),
known as (
    select queue, talk_s as x, contact_count from counted where talk_s is not null
),
ranked as (
    select queue, x, sum(contact_count) over (partition by queue order by x) as up_to, sum(contact_count) over (partition by queue) as n
    from known
),
middles as (
    select queue, (min(x) filter (up_to >= (n + 1) // 2) + min(x) filter (up_to >= n // 2 + 1)) / 2 as middle
    from ranked
    group by queue
),
distances as (
    select queue, abs(x - middle) as x, sum(contact_count) as contact_count
    from known
    inner join middles using (queue)
    group by all
),
distance_ranks as (
    select queue, x, sum(contact_count) over (partition by queue order by x) as up_to, sum(contact_count) over (partition by queue) as n
    from distances
),
deviations as (
    select queue, (min(x) filter (up_to >= (n + 1) // 2) + min(x) filter (up_to >= n // 2 + 1)) / 2 as deviation
    from distance_ranks
    group by queue
)
select
    queue,
    cast(sum(contact_count) as bigint) as contact_count,
    cast(coalesce(sum(contact_count) filter (abs(0.6745 * (talk_s - middle) / deviation) > 3.5), 0) as bigint) as outlier_count,
    max(0.6745 * (talk_s - middle) / deviation) as score_max
from counted
inner join middles using (queue)
inner join deviations using (queue)
group by queue
order by queue
