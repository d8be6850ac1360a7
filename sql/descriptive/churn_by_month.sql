-- title: Churn by month
-- description: Share of the customers at the start of each month who left in it, with its Wilson interval.
-- Who signed up within the month is in neither count. Months reach from the one in which the data begin to the one in
-- which they end; of the last one the leavers may not all be known yet.
-- grain: one row per month
-- param: since timestamp = 1970-01-01     # months that end after this time
-- param: until timestamp = 2200-01-01     # months that begin before this time
-- chart: line x=month y=churn_ratio low=churn_low_ratio high=churn_high_ratio partial=is_partial base=customer_count format=percent
-- check: churn_ratio between 0 and 1
-- check: churn_ratio between churn_low_ratio - 1e-9 and churn_high_ratio + 1e-9
-- check: left_count <= customer_count
with bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from covered_period
),
months as (
    select unnest(generate_series(
        date_trunc('month', covered_from), date_trunc('month', covered_until - interval '1 second'), interval '1 month'
    )) as month_at
    from bounds
),
periods as (
    select month_at, month_at + interval '1 month' as next_month_at from months
),
by_month as (
    select
        month_at,
        max(next_month_at) as next_month_at,
        count(*) filter (where signed_up_at < month_at and coalesce(churned_at >= month_at, true)
            and coalesce(churned_at >= signed_up_at, true)) as customer_count,
        churn_rate(signed_up_at, churned_at, month_at, next_month_at) as churn_ratio
    from periods cross join customers
    group by month_at
),
with_ci as (
    select *, proportion_ci_of(round(churn_ratio * customer_count), customer_count) as churn_ci from by_month
)
select
    cast(month_at as date) as month,
    customer_count,
    cast(round(churn_ratio * customer_count) as bigint) as left_count,
    churn_ratio,
    churn_ci['low'] as churn_low_ratio,
    churn_ci['high'] as churn_high_ratio,
    month_at < covered_from or next_month_at > covered_until as is_partial
from with_ci cross join bounds
order by month;

-- notes: customers that no month contains
with figures as (
    select
        count(*) as customer_count,
        count(*) - count(signed_up_at) as unknown_count,
        count(*) filter (where churned_at < signed_up_at) as impossible_count
    from customers
)
select unnest([
    case when unknown_count > 0 then
        unknown_count || ' of ' || customer_count || ' customers are left out: when they signed up is unknown'
    end,
    case when impossible_count > 0 then
        impossible_count || ' of ' || customer_count || ' customers are left out: they left before they signed up'
    end
])
from figures
