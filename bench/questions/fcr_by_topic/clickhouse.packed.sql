-- one group per customer; the number of the topic above the second, so that one sort of integers orders by topic and
-- time, and a gap across topics is larger than any window
with
    (select groupUniqArray(topic) from file('interactions/*.parquet', Parquet, 'topic LowCardinality(String)') where topic <> '') as topics,
    customers as (
        select
            arraySort(groupArray(
                bitOr(bitShiftLeft(toUInt64(indexOf(topics, topic)), 32), toUInt64(toUnixTimestamp(started_at)))
            )) as steps,
            arrayPushFront(arrayPopFront(arrayDifference(steps)), 9000000000) as gaps_before,
            arrayPushBack(arrayPopFront(arrayDifference(steps)), 9000000000) as gaps_after
        from file(
            'interactions/*.parquet', Parquet,
            'customer_id String, topic LowCardinality(String), started_at DateTime(\'UTC\')'
        )
        where customer_id <> '' and topic <> ''
        group by customer_id
    ),
    counts as (
        select
            bitShiftRight(step, 32) as number,
            count() as contact_count,
            countIf(
                gap_before > 7 * 86400
                and bitAnd(step, 0xFFFFFFFF) >= toUnixTimestamp(toDateTime('2025-01-08 00:00:00', 'UTC'))
                and bitAnd(step, 0xFFFFFFFF) + 7 * 86400 <= toUnixTimestamp(toDateTime('2026-01-01 00:00:00', 'UTC'))
            ) as known_count,
            countIf(
                gap_before > 7 * 86400 and gap_after > 7 * 86400
                and bitAnd(step, 0xFFFFFFFF) >= toUnixTimestamp(toDateTime('2025-01-08 00:00:00', 'UTC'))
                and bitAnd(step, 0xFFFFFFFF) + 7 * 86400 <= toUnixTimestamp(toDateTime('2026-01-01 00:00:00', 'UTC'))
            ) as resolved
        from customers
        array join steps as step, gaps_before as gap_before, gaps_after as gap_after
        group by number
    )
select
    topics[number] as topic,
    contact_count,
    known_count,
    if(known_count > 0, resolved / known_count, null) as fcr_ratio
from counts
order by topic
