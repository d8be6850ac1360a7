set datafusion.execution.parquet.schema_force_view_types = false;
with customers as (
    select bit_or(1 << cast(12 * date_part('year', at) + date_part('month', at) - 12 * 2025 - 1 as bigint)) as pattern
    from (
        select customer_id, arrow_cast(started_at, 'Timestamp(Microsecond, None)') as at
        from interactions
        where customer_id is not null and started_at < '2026-01-01'
    )
    group by customer_id
),
patterns as (
    select pattern, count(*) as n from customers group by pattern
),
spread as (
    select pattern, n, month
    from patterns
    cross join range(0, 62) as months (month)
    where (pattern >> month) & 1 = 1
),
months as (
    select min(month) over (partition by pattern) as cohort, month, n from spread
),
activity as (
    select cohort, month - cohort as months_later, sum(n) as customer_count from months group by cohort, month
)
select
    date '2025-01-01' + cast(cohort || ' months' as interval) as cohort_at,
    months_later,
    customer_count,
    cast(customer_count as double) / first_value(customer_count) over (partition by cohort order by months_later) as retention_ratio
from activity
order by cohort_at, months_later
