with groups as (
    select
        customer_id,
        arrayCount(gap -> gap <= 7 * 86400, arrayPopFront(arrayDifference(arraySort(groupArray(toUnixTimestamp(started_at)))))) as repeats
    from file(
        'interactions/*.parquet', Parquet,
        'customer_id String, topic LowCardinality(String), started_at DateTime(\'UTC\')'
    )
    where customer_id <> '' and topic <> ''
    group by customer_id, topic
),
by_customer as (
    select customer_id, least(sum(repeats), 4) as repeat_count from groups group by customer_id
)
select repeat_count, count() as customer_count, countIf(churned_at is not null) / count() as churn_ratio
from by_customer
inner join file('customers.parquet', Parquet, 'customer_id String, churned_at Nullable(DateTime(\'UTC\'))') as customers
    on customers.customer_id = by_customer.customer_id
group by repeat_count
order by repeat_count
