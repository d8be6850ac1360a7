-- one group per customer; the number of the topic above the second above the number of the agent, so that one sort of
-- integers orders by topic, time and agent, and a gap across topics is larger than any window
with
    (select arraySort(groupUniqArray(agent_id)) from file('interactions/*.parquet', Parquet, 'agent_id LowCardinality(String)') where agent_id <> '') as agents,
    (select groupUniqArray(topic) from file('interactions/*.parquet', Parquet, 'topic LowCardinality(String)') where topic <> '') as topics,
    customers as (
        select
            arraySort(groupArray(
                bitShiftLeft(toUInt64(indexOf(topics, topic)), 52)
                + bitShiftLeft(toUInt64(toUnixTimestamp(started_at)), 20)
                + transform(agent_id, agents, arrayEnumerate(agents), 0)
            )) as steps,
            arrayDifference(arrayMap(step -> bitShiftRight(step, 20), steps)) as gaps
        from file(
            'interactions/*.parquet', Parquet,
            'customer_id String, topic LowCardinality(String), agent_id LowCardinality(String), started_at DateTime(\'UTC\')'
        )
        where customer_id <> '' and topic <> '' and agent_id <> ''
        group by customer_id
    )
select
    agents[bitAnd(step, 0xFFFFF)] as agent_id,
    count() as contact_count,
    avgIf(
        i > 1 and gap <= 7 * 86400,
        bitAnd(bitShiftRight(step, 20), 0xFFFFFFFF) >= toUnixTimestamp(toDateTime('2025-01-08 00:00:00', 'UTC'))
    ) as repeat_ratio
from customers
array join steps as step, gaps as gap, arrayEnumerate(steps) as i
group by agent_id
order by agent_id
