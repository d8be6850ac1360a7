set preserve_insertion_order = false;
with groups as (
    select topic, list_sort(list(epoch_us(started_at))) as steps
    from interactions
    where customer_id is not null and topic is not null
    group by customer_id, topic
),
contacts as (
    select topic, steps, unnest(range(1, len(steps) + 1)) as i from groups
),
gaps as (
    select
        topic,
        case when i > 1 then steps[i] - steps[i - 1] end as gap_before,
        steps[i + 1] - steps[i] as gap_after
    from contacts
)
select
    topic,
    count(gap_before) as followed_count,
    avg(gap_before) / 1e6 as gap_avg_s,
    count(*) filter (gap_before <= 7 * 86400000000 and gap_after <= 7 * 86400000000) as between_count
from gaps
group by topic
order by topic
