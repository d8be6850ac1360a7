with outcomes as (
    select
        topic,
        first_contact_resolved(started_at, interval '7 days', timestamp '2026-12-31 00:00:00', timestamp '2025-01-01 00:00:00')
            over (partition by customer_id, topic order by started_at, interaction_id) as is_resolved_first
    from interactions
)
select topic, fcr(is_resolved_first) as fcr_ratio, count(*) as contact_count from outcomes group by topic order by topic
