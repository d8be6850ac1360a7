with contacts as (
    select
        customer_id,
        is_repeat_contact(started_at, interval '7 days') over (partition by customer_id, topic order by started_at) as is_repeat
    from interactions
    where customer_id is not null and topic is not null
),
by_customer as (
    select customer_id, least(count(*) filter (where is_repeat), 4) as repeat_count
    from contacts
    group by customer_id
)
select repeat_count, count(*) as customer_count, rate(churned_at is not null) as churn_ratio
from by_customer
inner join customers on customers.customer_id = by_customer.customer_id
group by repeat_count
order by repeat_count
