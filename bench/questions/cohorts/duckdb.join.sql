with months as (
    select distinct customer_id, 12 * year(instant) + month(instant) - 1 as month
    from (select customer_id, make_timestamp(epoch_us(started_at)) as instant from interactions)
    where customer_id is not null and instant < timestamp '2026-01-01'
),
cohorts as (
    select customer_id, min(month) as cohort from months group by customer_id
),
activity as (
    select cohort, month - cohort as months_later, count(*) as customer_count
    from months
    inner join cohorts using (customer_id)
    group by all
)
select
    make_date(cohort // 12, cohort % 12 + 1, 1) as cohort_at,
    months_later,
    customer_count,
    customer_count / first_value(customer_count) over (partition by cohort order by months_later) as retention_ratio
from activity
order by cohort_at, months_later
