set datafusion.execution.parquet.schema_force_view_types = false;
with contacts as (
    select
        agent_id,
        started_at,
        arrow_cast(started_at, 'Int64') - lag(arrow_cast(started_at, 'Int64')) over (
            partition by customer_id, topic order by started_at, agent_id
        ) as gap
    from interactions
    where customer_id is not null and topic is not null and agent_id is not null
)
select
    agent_id,
    count(*) as contact_count,
    avg(case when gap <= 7 * 86400000000 then 1.0 else 0.0 end) filter (where started_at >= timestamp '2025-01-08 00:00:00') as repeat_ratio
from contacts
group by agent_id
order by agent_id
