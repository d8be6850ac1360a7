set datafusion.execution.parquet.schema_force_view_types = false;
with contacts as (
    select
        customer_id,
        arrow_cast(started_at, 'Int64') - lag(arrow_cast(started_at, 'Int64')) over (
            partition by customer_id, topic order by started_at
        ) as gap
    from interactions
    where customer_id is not null and topic is not null
),
by_customer as (
    select customer_id, least(count(*) filter (where gap <= 7 * 86400000000), 4) as repeat_count
    from contacts
    group by customer_id
)
select repeat_count, count(*) as customer_count, cast(count(churned_at) as double) / count(*) as churn_ratio
from by_customer
inner join customers on customers.customer_id = by_customer.customer_id
group by repeat_count
order by repeat_count
