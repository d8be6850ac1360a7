-- ranks of the few order counts from their numbers; numbers of rows in place of ntile
set preserve_insertion_order = false;
with customers as materialized (
    select
        customer_id,
        max(ordered_at) as last_at,
        count(*) as order_count,
        cast(round(sum(amount) * 100) as bigint) as amount_cents
    from orders
    where customer_id is not null
    group by customer_id
),
counts as (
    select order_count, count(*) as customer_count from customers group by order_count
),
ranks as (
    select
        order_count,
        (sum(customer_count) over (order by order_count) - customer_count) / (sum(customer_count) over () - 1) as frequency_rank
    from counts
),
scores as (
    select
        ntile(5) over (order by last_at, customer_id) as recency,
        ntile(5) over (order by order_count, customer_id) as frequency,
        ntile(5) over (order by amount_cents, customer_id) as monetary,
        rank() over (order by amount_cents desc) as amount_rank,
        frequency_rank
    from customers
    inner join ranks using (order_count)
)
select
    recency,
    frequency,
    monetary,
    count(*) as customer_count,
    min(amount_rank) as best_amount_rank,
    avg(frequency_rank) as frequency_rank_avg
from scores
group by recency, frequency, monetary
order by recency, frequency, monetary
