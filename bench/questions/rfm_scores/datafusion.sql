with customers as (
    select
        customer_id,
        max(ordered_at) as last_at,
        count(*) as order_count,
        cast(round(sum(amount) * 100) as bigint) as amount_cents
    from orders
    where customer_id is not null
    group by customer_id
),
scores as (
    select
        ntile(5) over (order by last_at, customer_id) as recency,
        ntile(5) over (order by order_count, customer_id) as frequency,
        ntile(5) over (order by amount_cents, customer_id) as monetary,
        rank() over (order by amount_cents desc) as amount_rank,
        percent_rank() over (order by order_count) as frequency_rank
    from customers
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
