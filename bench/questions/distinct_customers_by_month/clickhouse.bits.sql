-- a bit for each month in which a customer was active
with customers as (
    select groupBitOr(bitShiftLeft(toUInt64(1), toRelativeMonthNum(started_at) - 12 * 2025 - 1)) as pattern
    from file('interactions/*.parquet', Parquet, 'customer_id String, started_at DateTime(\'UTC\')')
    where customer_id <> '' and started_at < toDateTime('2026-01-01 00:00:00', 'UTC')
    group by customer_id
),
patterns as (
    select pattern, count() as n from customers group by pattern
)
select toDate('2025-01-01') + toIntervalMonth(k) as month, sum(n) as customer_count
from patterns
array join bitPositionsToArray(pattern) as k
group by month
order by month
