with outcomes as (
    select
        topic,
        first_contact_resolved(started_at, interval '7 days', timestamp '2026-01-01 00:00:00', timestamp '2025-01-01 00:00:00')
            over (partition by customer_id, topic order by started_at) as is_first_contact_resolved
    from interactions
    where customer_id is not null and topic is not null
)
select
    topic,
    count(*) as contact_count,
    count(is_first_contact_resolved) as known_count,
    fcr(is_first_contact_resolved) as fcr_ratio
from outcomes
group by topic
order by topic
