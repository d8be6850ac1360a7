-- one pass: the durations of a queue and channel as an array, the medians from it
with queues as (
    select
        queue,
        channel,
        count() as contact_count,
        groupArray(ifNull(talk_s, 0) + ifNull(hold_s, 0) + ifNull(wrap_s, 0)) as durations
    from file(
        'interactions/*.parquet', Parquet,
        'queue LowCardinality(String), channel LowCardinality(String), talk_s Nullable(Int32), hold_s Nullable(Int32), wrap_s Nullable(Int32)'
    )
    where queue <> '' and channel <> ''
    group by queue, channel
),
middles as (
    select queue, channel, contact_count, durations, arrayReduce('quantileExactInclusive(0.5)', durations) as middle from queues
),
distances as (
    select
        queue, channel, contact_count, durations, middle,
        arrayReduce('quantileExactInclusive(0.5)', arrayMap(x -> abs(x - middle), durations)) as deviation
    from middles
)
select
    queue,
    channel,
    contact_count,
    arrayCount(x -> abs(0.6745 * (x - middle) / deviation) > 3.5, durations) as outlier_count,
    0.6745 * (arrayMax(durations) - middle) / deviation as score_max
from distances
order by queue, channel
