with customers as (
    select groupArray((channel, toUnixTimestamp(started_at))) as steps, arrayMin(steps.2) as first, arrayMax(steps.2) as last
    from file(
        'interactions/*.parquet', Parquet,
        'customer_id String, channel LowCardinality(String), started_at DateTime(\'UTC\')'
    )
    where customer_id <> ''
    group by customer_id
)
select channel, count() as contact_count, avg(at - first) as since_first_avg_s, avg(last - at) as until_last_avg_s
from customers
array join steps.1 as channel, steps.2 as at
group by channel
order by channel
