with contacts as (
    select
        topic,
        toUnixTimestamp64Micro(started_at) as at,
        lagInFrame(toNullable(at)) over steps as previous_at,
        leadInFrame(toNullable(at)) over steps as next_at
    from file(
        'interactions/*.parquet', Parquet,
        'customer_id String, topic LowCardinality(String), started_at DateTime64(6, \'UTC\')'
    )
    where customer_id <> '' and topic <> ''
    window steps as (
        partition by customer_id, topic order by started_at rows between unbounded preceding and unbounded following
    )
)
select
    topic,
    count() as contact_count,
    count(is_resolved) as known_count,
    avg(is_resolved) as fcr_ratio
from (
    select
        topic,
        multiIf(
            at < toUnixTimestamp64Micro(toDateTime64('2025-01-08 00:00:00', 6, 'UTC')), null,
            at + 7 * 86400000000 > toUnixTimestamp64Micro(toDateTime64('2026-01-01 00:00:00', 6, 'UTC')), null,
            at - previous_at <= 7 * 86400000000, null,
            next_at - at <= 7 * 86400000000, 0,
            1
        ) as is_resolved
    from contacts
)
group by topic
order by topic
