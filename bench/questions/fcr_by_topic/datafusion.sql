set datafusion.execution.parquet.schema_force_view_types = false;
with contacts as (
    select
        topic,
        arrow_cast(started_at, 'Int64') as at,
        lag(arrow_cast(started_at, 'Int64')) over steps as previous_at,
        lead(arrow_cast(started_at, 'Int64')) over steps as next_at
    from interactions
    where customer_id is not null and topic is not null
    window steps as (partition by customer_id, topic order by started_at)
),
outcomes as (
    select
        topic,
        case
            when at < arrow_cast(timestamp '2025-01-08 00:00:00', 'Timestamp(Microsecond, None)')::bigint then null
            when at + 7 * 86400000000 > arrow_cast(timestamp '2026-01-01 00:00:00', 'Timestamp(Microsecond, None)')::bigint then null
            when at - previous_at <= 7 * 86400000000 then null
            when next_at - at <= 7 * 86400000000 then 0
            else 1
        end as is_resolved
    from contacts
)
select topic, count(*) as contact_count, count(is_resolved) as known_count, avg(is_resolved) as fcr_ratio
from outcomes
group by topic
order by topic
