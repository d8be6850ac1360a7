-- one group per customer; the number of the topic above the second, so that one sort of integers orders by topic and
-- time; a gap across topics is more than 3,000,000,000 seconds
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
    )
select
    topics[bitShiftRight(step, 32)] as topic,
    countIf(gap_before < 3000000000) as followed_count,
    avgOrNullIf(gap_before, gap_before < 3000000000) as gap_avg_s,
    countIf(gap_before <= 7 * 86400 and gap_after <= 7 * 86400) as between_count
from customers
array join steps as step, gaps_before as gap_before, gaps_after as gap_after
group by topic
order by topic
