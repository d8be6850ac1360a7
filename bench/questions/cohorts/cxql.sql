with months as (
    select distinct customer_id, date_trunc('month', started_at) as month_at
    from interactions
    where customer_id is not null and started_at < '2026-01-01'
),
customers as (
    select month_at, min(month_at) over (partition by customer_id) as cohort_at from months
),
activity as (
    select
        cohort_at,
        cast(12 * (date_part('year', month_at) - date_part('year', cohort_at))
            + date_part('month', month_at) - date_part('month', cohort_at) as int) as months_later,
        count(*) as customer_count
    from customers
    group by cohort_at, months_later
)
select
    cohort_at,
    months_later,
    customer_count,
    cast(customer_count as double) / first_value(customer_count) over (partition by cohort_at order by months_later) as retention_ratio
from activity
order by cohort_at, months_later
