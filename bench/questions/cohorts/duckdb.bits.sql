-- a bit for each month in which a customer was active, then the few hundred different patterns
with customers as (
    select bit_or(1 << (12 * year(instant) + month(instant) - 12 * 2025 - 1)) as pattern
    from (
        select customer_id, make_timestamp(epoch_us(started_at)) as instant
        from interactions
        where customer_id is not null and epoch_us(started_at) < epoch_us(timestamptz '2026-01-01 00:00:00+00')
    )
    group by customer_id
),
patterns as (
    select pattern, count(*) as n, list_filter(range(0, 62), lambda k: (pattern >> k) & 1 = 1) as months
    from customers
    group by pattern
),
spread as (
    select months[1] as cohort, unnest(months) as month, n from patterns
),
activity as (
    select cohort, month - cohort as months_later, cast(sum(n) as bigint) as customer_count from spread group by all
)
select
    cast(date '2025-01-01' + to_months(cast(cohort as int)) as date) as cohort_at,
    months_later,
    customer_count,
    customer_count / first_value(customer_count) over (partition by cohort order by months_later) as retention_ratio
from activity
order by cohort_at, months_later
