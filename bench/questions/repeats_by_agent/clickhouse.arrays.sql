-- per customer and topic: instants and agents in order; a contact whose gap before is short is a repeat
with groups as (
    select
        arraySort(groupArray((toUnixTimestamp(started_at), agent_id))) as steps,
        arrayDifference(steps.1) as gaps
    from file(
        'interactions/*.parquet', Parquet,
        'customer_id String, topic LowCardinality(String), agent_id LowCardinality(String), started_at DateTime'
    )
    where customer_id <> '' and topic <> '' and agent_id <> ''
    group by customer_id, topic
)
select agent_id, count() as contact_count, avgIf(i > 1 and gap_s <= 7 * 86400, at >= toUnixTimestamp(toDateTime('2025-01-08 00:00:00', 'UTC'))) as repeat_ratio
from groups
array join steps.1 as at, steps.2 as agent_id, gaps as gap_s, arrayEnumerate(gaps) as i
group by agent_id
order by agent_id
