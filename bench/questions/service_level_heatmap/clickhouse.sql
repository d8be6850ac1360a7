select
    toDayOfWeek(started_at) % 7 as weekday,
    toHour(started_at) as hour,
    count() as offered_count,
    countIf(wait_s between 0 and 20 and not is_abandoned) / countIf(wait_s >= 0 and is_abandoned is not null) as service_level_ratio
from file(
    'interactions/*.parquet', Parquet,
    'started_at DateTime(\'UTC\'), direction LowCardinality(String), channel LowCardinality(String), wait_s Nullable(Int32), is_abandoned Nullable(Bool)'
)
where direction = 'inbound' and channel in ('phone', 'chat')
group by weekday, hour
order by weekday, hour
