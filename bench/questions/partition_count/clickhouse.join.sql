with contacts as (
    select customer_id, channel
    from file('interactions/*.parquet', Parquet, 'customer_id String, channel LowCardinality(String)')
    where customer_id <> ''
),
customers as (
    select customer_id, count() as customer_contact_count from contacts group by customer_id
)
select
    channel,
    count() as contact_count,
    avg(customer_contact_count) as customer_contact_avg,
    countIf(customer_contact_count >= 20) as frequent_count
from contacts
inner join customers on customers.customer_id = contacts.customer_id
group by channel
order by channel
