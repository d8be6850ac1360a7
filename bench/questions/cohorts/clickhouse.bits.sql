-- a bit for each month in which a customer was active, then the few hundred different patterns
with customers as (
    select groupBitOr(bitShiftLeft(toUInt64(1), toRelativeMonthNum(started_at) - 12 * 2025 - 1)) as pattern
    from file('interactions/*.parquet', Parquet, 'customer_id String, started_at DateTime(\'UTC\')')
    where customer_id <> '' and started_at < toDateTime('2026-01-01 00:00:00', 'UTC')
    group by customer_id
),
patterns as (
    select bitPositionsToArray(pattern) as months, count() as n from customers group by pattern
),
activity as (
    select months[1] as cohort, month - cohort as months_later, sum(n) as customer_count
    from patterns
    array join months as month
    group by cohort, months_later
)
select
    toDate('2025-01-01') + toIntervalMonth(cohort) as cohort_at,
    months_later,
    customer_count,
    customer_count / first_value(customer_count) over (partition by cohort order by months_later) as retention_ratio
from activity
order by cohort_at, months_later
