with customers as (
    select arraySort(groupArray(started_at)) as steps
    from file('interactions/*.parquet', Parquet, 'customer_id String, started_at DateTime(\'UTC\')')
    where customer_id <> ''
    group by customer_id
)
select least(place, 20) as contact_number, count() as contact_count, toDateTime64(min(at), 0) as first_at, toDateTime64(max(at), 0) as last_at
from customers
array join steps as at, arrayEnumerate(steps) as place
group by contact_number
order by contact_number
