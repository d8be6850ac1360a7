-- one pass: the durations of a queue and channel as an array, its moments beside it
with groups as (
    select
        queue,
        channel,
        count() as contact_count,
        groupArray(handle_s) as durations,
        avg(handle_s) as mean,
        stddevSampStable(handle_s) as deviation
    from (
        select queue, channel, ifNull(talk_s, 0) + ifNull(hold_s, 0) + ifNull(wrap_s, 0) as handle_s
        from file(
            'interactions/*.parquet', Parquet,
            'queue LowCardinality(String), channel LowCardinality(String), talk_s Nullable(Int32), hold_s Nullable(Int32), wrap_s Nullable(Int32)'
        )
        where queue <> '' and channel <> ''
    )
    group by queue, channel
)
select
    queue,
    channel,
    contact_count,
    arrayCount(x -> abs(x - mean) > 3 * deviation, durations) as outlier_count,
    (arrayMax(durations) - mean) / deviation as score_max
from groups
order by queue, channel
