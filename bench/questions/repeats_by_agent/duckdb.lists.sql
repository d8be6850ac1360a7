set preserve_insertion_order = false;
with groups as (
    select list_sort(list({at_us: epoch_us(started_at), agent_id: agent_id})) as steps
    from interactions
    where customer_id is not null and topic is not null and agent_id is not null
    group by customer_id, topic
),
contacts as (
    select steps, unnest(range(1, len(steps) + 1)) as i from groups
),
gaps as (
    select
        steps[i].agent_id as agent_id,
        steps[i].at_us as at_us,
        steps[i].at_us - case when i > 1 then steps[i - 1].at_us end as gap_us
    from contacts
)
select
    agent_id,
    count(*) as contact_count,
    avg(case when gap_us <= 7 * 86400000000 then 1 else 0 end)
        filter (at_us >= epoch_us(timestamptz '2025-01-08 00:00:00+00')) as repeat_ratio
from gaps
group by agent_id
order by agent_id
