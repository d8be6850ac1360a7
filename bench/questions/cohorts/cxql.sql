with months as (
    select distinct customer_id, date_trunc('month', started_at) as month_at
    from interactions
    where customer_id is not null and started_at < '2026-01-01'
),
cohorts as (
    select customer_id, min(month_at) as cohort_at from months group by customer_id
),
activity as (
    select
        cohort_at,
        cast(12 * (date_part('year', month_at) - date_part('year', cohort_at))
            + date_part('month', month_at) - date_part('month', cohort_at) as int) as months_later,
        count(*) as customer_count
    from months
    inner join cohorts on cohorts.customer_id = months.customer_id
    group by cohort_at, months_later
)
select
    cohort_at,
    months_later,
    customer_count,
    cast(customer_count as double) / first_value(customer_count) over (partition by cohort_at order by months_later) as retention_ratio
from activity
order by cohort_at, months_later
