-- per customer and topic: the sorted instants, the gaps before and after each, and the two counts
with groups as (
    select
        topic,
        arraySort(groupArray(toUnixTimestamp64Micro(started_at))) as at,
        arrayPushFront(arrayPopFront(arrayDifference(at)), 9000000000000000) as gap_before,
        arrayPushBack(arrayPopFront(arrayDifference(at)), 9000000000000000) as gap_after
    from file(
        'interactions/*.parquet', Parquet,
        'customer_id String, topic LowCardinality(String), started_at DateTime64(6, \'UTC\')'
    )
    where customer_id <> '' and topic <> ''
    group by customer_id, topic
),
counts as (
    select
        topic,
        length(at) as contacts,
        arrayCount(
            (before, one) -> before > 7 * 86400000000
                and one >= toUnixTimestamp64Micro(toDateTime64('2025-01-08 00:00:00', 6, 'UTC'))
                and one + 7 * 86400000000 <= toUnixTimestamp64Micro(toDateTime64('2026-01-01 00:00:00', 6, 'UTC')),
            gap_before, at
        ) as known,
        arrayCount(
            (before, after, one) -> before > 7 * 86400000000 and after > 7 * 86400000000
                and one >= toUnixTimestamp64Micro(toDateTime64('2025-01-08 00:00:00', 6, 'UTC'))
                and one + 7 * 86400000000 <= toUnixTimestamp64Micro(toDateTime64('2026-01-01 00:00:00', 6, 'UTC')),
            gap_before, gap_after, at
        ) as resolved
    from groups
)
select
    topic,
    sum(contacts) as contact_count,
    sum(known) as known_count,
    if(known_count > 0, sum(resolved) / known_count, null) as fcr_ratio
from counts
group by topic
order by topic
