set preserve_insertion_order = false;
-- instants as microseconds: arithmetic on timestamps with a zone goes through calendars
with contacts as (
    select
        topic,
        epoch_us(started_at) as at_us,
        lag(epoch_us(started_at)) over steps as previous_at,
        lead(epoch_us(started_at)) over steps as next_at
    from interactions
    where customer_id is not null and topic is not null
    window steps as (partition by customer_id, topic order by epoch_us(started_at))
),
outcomes as (
    select
        topic,
        case
            when at_us < epoch_us(timestamptz '2025-01-08 00:00:00+00') then null
            when at_us + 7 * 86400000000 > epoch_us(timestamptz '2026-01-01 00:00:00+00') then null
            when at_us - previous_at <= 7 * 86400000000 then null
            when next_at - at_us <= 7 * 86400000000 then 0
            else 1
        end as is_resolved
    from contacts
)
select topic, count(*) as contact_count, count(is_resolved) as known_count, avg(is_resolved) as fcr_ratio
from outcomes
group by topic
order by topic
