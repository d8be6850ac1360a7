set preserve_insertion_order = false;
with groups as (
    select topic, list_sort(list(epoch_us(started_at))) as at_us
    from interactions
    where customer_id is not null and topic is not null
    group by customer_id, topic
),
contacts as (
    select topic, at_us, unnest(range(1, len(at_us) + 1)) as i from groups
),
outcomes as (
    select
        topic,
        case
            when at_us[i] < epoch_us(timestamptz '2025-01-08 00:00:00+00') then null
            when at_us[i] + 7 * 86400000000 > epoch_us(timestamptz '2026-01-01 00:00:00+00') then null
            when at_us[i] - case when i > 1 then at_us[i - 1] end <= 7 * 86400000000 then null
            when at_us[i + 1] - at_us[i] <= 7 * 86400000000 then 0
            else 1
        end as is_resolved
    from contacts
)
select topic, count(*) as contact_count, count(is_resolved) as known_count, avg(is_resolved) as fcr_ratio
from outcomes
group by topic
order by topic
