with contacts as (
    select customer_id, channel, toUnixTimestamp(started_at) as at
    from file(
        'interactions/*.parquet', Parquet,
        'customer_id String, channel LowCardinality(String), started_at DateTime(\'UTC\')'
    )
    where customer_id <> ''
),
customers as (
    select customer_id, min(at) as first, max(at) as last from contacts group by customer_id
)
select channel, count() as contact_count, avg(at - first) as since_first_avg_s, avg(last - at) as until_last_avg_s
from contacts
inner join customers on customers.customer_id = contacts.customer_id
group by channel
order by channel
