set preserve_insertion_order = false;
with groups as (
    select customer_id, list_sort(list(epoch_us(started_at))) as steps
    from interactions
    where customer_id is not null and topic is not null
    group by customer_id, topic
),
contacts as (
    select customer_id, steps, unnest(range(1, len(steps) + 1)) as i from groups
),
by_customer as (
    select
        customer_id,
        least(count(*) filter (i > 1 and steps[i] - steps[i - 1] <= 7 * 86400000000), 4) as repeat_count
    from contacts
    group by customer_id
)
select repeat_count, count(*) as customer_count, count(churned_at) / count(*) as churn_ratio
from by_customer
inner join customers using (customer_id)
group by repeat_count
order by repeat_count
