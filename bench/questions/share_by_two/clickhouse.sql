select
    queue,
    channel,
    count() as contact_count,
    avg(is_abandoned) as abandoned_ratio,
    countIf(is_resolved) / count() as resolved_ratio
from file(
    'interactions/*.parquet', Parquet,
    'queue LowCardinality(String), channel LowCardinality(String), is_abandoned Nullable(UInt8), is_resolved Nullable(UInt8)'
)
where queue <> '' and channel <> ''
group by queue, channel
order by queue, channel
