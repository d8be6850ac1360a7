set preserve_insertion_order = false;
with contacts as (
    select
        topic,
        epoch_us(started_at) - lag(epoch_us(started_at)) over steps as gap_before,
        lead(epoch_us(started_at)) over steps - epoch_us(started_at) as gap_after
    from interactions
    where customer_id is not null and topic is not null
    window steps as (partition by customer_id, topic order by epoch_us(started_at))
)
select
    topic,
    count(gap_before) as followed_count,
    avg(gap_before) / 1e6 as gap_avg_s,
    count(*) filter (gap_before <= 7 * 86400000000 and gap_after <= 7 * 86400000000) as between_count
from contacts
group by topic
order by topic
