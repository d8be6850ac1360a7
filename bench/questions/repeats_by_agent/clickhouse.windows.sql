with contacts as (
    select
        agent_id,
        started_at,
        started_at - lagInFrame(toNullable(started_at)) over (
            partition by customer_id, topic order by started_at, agent_id
            rows between unbounded preceding and current row
        ) as gap_s
    from file(
        'interactions/*.parquet', Parquet,
        'customer_id String, topic LowCardinality(String), agent_id LowCardinality(String), started_at DateTime'
    )
    where customer_id <> '' and topic <> '' and agent_id <> ''
)
select
    agent_id,
    count() as contact_count,
    avgIf(ifNull(gap_s <= 7 * 86400, 0), started_at >= toDateTime('2025-01-08 00:00:00', 'UTC')) as repeat_ratio
from contacts
group by agent_id
order by agent_id
