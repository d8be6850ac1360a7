-- one pass: the known durations of a queue as an array, the medians from it
with queues as (
    select queue, count() as contact_count, groupArray(talk_s) as durations
    from file('interactions/*.parquet', Parquet, 'queue LowCardinality(String), talk_s Nullable(Int32)')
    where queue <> ''
    group by queue
),
middles as (
    select queue, contact_count, durations, arrayReduce('quantileExactInclusive(0.5)', durations) as middle from queues
),
distances as (
    select
        queue, contact_count, durations, middle,
        arrayReduce('quantileExactInclusive(0.5)', arrayMap(x -> abs(x - middle), durations)) as deviation
    from middles
)
select
    queue,
    contact_count,
    arrayCount(x -> abs(0.6745 * (x - middle) / deviation) > 3.5, durations) as outlier_count,
    0.6745 * (arrayMax(durations) - middle) / deviation as score_max
from distances
order by queue
