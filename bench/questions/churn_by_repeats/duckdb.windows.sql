set preserve_insertion_order = false;
with contacts as (
    select
        customer_id,
        epoch_us(started_at) - lag(epoch_us(started_at)) over (
            partition by customer_id, topic order by epoch_us(started_at)
        ) as gap_us
    from interactions
    where customer_id is not null and topic is not null
),
by_customer as (
    select customer_id, least(count(*) filter (gap_us <= 7 * 86400000000), 4) as repeat_count
    from contacts
    group by customer_id
)
select repeat_count, count(*) as customer_count, count(churned_at) / count(*) as churn_ratio
from by_customer
inner join customers using (customer_id)
group by repeat_count
order by repeat_count
