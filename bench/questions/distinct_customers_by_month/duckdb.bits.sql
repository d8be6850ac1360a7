-- a bit for each month in which a customer was active
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
    select pattern, count(*) as n from customers group by pattern
)
select cast(date '2025-01-01' + to_months(cast(k as int)) as date) as month, cast(sum(n) as bigint) as customer_count
from patterns
inner join range(0, 62) as months (k) on (pattern >> k) & 1 = 1
group by k
order by month
