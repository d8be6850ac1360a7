with customers as (
    select groupArray(channel) as channels
    from file('interactions/*.parquet', Parquet, 'customer_id String, channel LowCardinality(String)')
    where customer_id <> ''
    group by customer_id
)
select
    channel,
    count() as contact_count,
    avg(customer_contact_count) as customer_contact_avg,
    countIf(customer_contact_count >= 20) as frequent_count
from (select channels, length(channels) as customer_contact_count from customers)
array join channels as channel
group by channel
order by channel
