set preserve_insertion_order = false;
with contacts as (
    select
        agent_id,
        epoch_us(started_at) as at_us,
        epoch_us(started_at) - lag(epoch_us(started_at)) over (
            partition by customer_id, topic order by epoch_us(started_at), agent_id
        ) as gap_us
    from interactions
    where customer_id is not null and topic is not null and agent_id is not null
)
select
    agent_id,
    count(*) as contact_count,
    avg(case when gap_us <= 7 * 86400000000 then 1 else 0 end)
        filter (at_us >= epoch_us(timestamptz '2025-01-08 00:00:00+00')) as repeat_ratio
from contacts
group by agent_id
order by agent_id
