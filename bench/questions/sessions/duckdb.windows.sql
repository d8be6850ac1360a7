set preserve_insertion_order = false;
with steps as (
    select
        customer_id,
        epoch_us(started_at) as at_us,
        lag(epoch_us(started_at)) over (partition by customer_id order by epoch_us(started_at)) as previous_us
    from interactions
    where customer_id is not null
),
numbered as (
    select
        customer_id,
        at_us,
        count(*) filter (previous_us is null or at_us - previous_us > 30 * 86400000000)
            over (partition by customer_id order by at_us) as session_number
    from steps
),
sessions as (
    select count(*) as contact_count, (max(at_us) - min(at_us)) / 1e6 as length_s
    from numbered
    group by customer_id, session_number
)
select least(contact_count, 10) as session_size, count(*) as session_count, avg(length_s) as length_avg_s
from sessions
group by session_size
order by session_size
