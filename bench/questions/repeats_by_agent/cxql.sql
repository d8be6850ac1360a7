-- agent_id settles the order of contacts of the same second
with contacts as (
    select
        agent_id,
        is_repeat_contact(started_at, interval '7 days', timestamp '2025-01-01 00:00:00')
            over (partition by customer_id, topic order by started_at, agent_id) as is_repeat
    from interactions
    where customer_id is not null and topic is not null and agent_id is not null
)
select agent_id, count(*) as contact_count, rate(is_repeat) as repeat_ratio
from contacts
group by agent_id
order by agent_id
