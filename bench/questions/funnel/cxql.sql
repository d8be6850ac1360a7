-- how far customers get from search to purchase within a day: for each step the latest search that leads to it
with steps as (
    select customer_id, occurred_at, event
    from events
    where customer_id is not null and event in ('search', 'product', 'cart', 'checkout', 'purchase')
),
searched as (
    select *, max(case when event = 'search' then occurred_at end)
        over (partition by customer_id order by occurred_at rows between unbounded preceding and 1 preceding) as start_at
    from steps
),
viewed as (
    select *, max(case when event = 'product' and occurred_at <= start_at + interval '1 day' then start_at end)
        over (partition by customer_id order by occurred_at rows between unbounded preceding and 1 preceding) as viewed_at
    from searched
),
filled as (
    select *, max(case when event = 'cart' and occurred_at <= viewed_at + interval '1 day' then viewed_at end)
        over (partition by customer_id order by occurred_at rows between unbounded preceding and 1 preceding) as filled_at
    from viewed
),
checked as (
    select *, max(case when event = 'checkout' and occurred_at <= filled_at + interval '1 day' then filled_at end)
        over (partition by customer_id order by occurred_at rows between unbounded preceding and 1 preceding) as checked_at
    from filled
),
levels as (
    select
        customer_id,
        max(case
            when event = 'purchase' and occurred_at <= checked_at + interval '1 day' then 5
            when event = 'checkout' and occurred_at <= filled_at + interval '1 day' then 4
            when event = 'cart' and occurred_at <= viewed_at + interval '1 day' then 3
            when event = 'product' and occurred_at <= start_at + interval '1 day' then 2
            when event = 'search' then 1
            else 0
        end) as step_count
    from checked
    group by customer_id
)
select step_count, count(*) as customer_count
from levels
group by step_count
order by step_count
