with levels as (
    select
        windowFunnel(86400, 'strict_increase')(
            occurred_at, event = 'search', event = 'product', event = 'cart', event = 'checkout', event = 'purchase'
        ) as step_count
    from file(
        'events.parquet', Parquet,
        'customer_id String, event LowCardinality(String), occurred_at DateTime(\'UTC\')'
    )
    where customer_id <> '' and event in ('search', 'product', 'cart', 'checkout', 'purchase')
    group by customer_id
)
select step_count, count() as customer_count
from levels
group by step_count
order by step_count
