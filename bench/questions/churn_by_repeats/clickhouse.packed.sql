-- one group per customer; the number of the topic above the second, so that one sort of integers orders by topic and
-- time, and a gap across topics is larger than any window
with
    (select groupUniqArray(topic) from file('interactions/*.parquet', Parquet, 'topic LowCardinality(String)') where topic <> '') as topics,
    by_customer as (
        select
            customer_id,
            least(arrayCount(
                gap -> gap <= 7 * 86400,
                arrayPopFront(arrayDifference(arraySort(groupArray(
                    bitOr(bitShiftLeft(toUInt64(indexOf(topics, topic)), 32), toUInt64(toUnixTimestamp(started_at)))
                ))))
            ), 4) as repeat_count
        from file(
            'interactions/*.parquet', Parquet,
            'customer_id String, topic LowCardinality(String), started_at DateTime(\'UTC\')'
        )
        where customer_id <> '' and topic <> ''
        group by customer_id
    )
select repeat_count, count() as customer_count, countIf(churned_at is not null) / count() as churn_ratio
from by_customer
inner join file('customers.parquet', Parquet, 'customer_id String, churned_at Nullable(DateTime(\'UTC\'))') as customers
    on customers.customer_id = by_customer.customer_id
group by repeat_count
order by repeat_count
