with contacts as (
    select started_at, row_number() over (partition by customer_id order by started_at) as place
    from file('interactions/*.parquet', Parquet, 'customer_id String, started_at DateTime(\'UTC\')')
    where customer_id <> ''
)
select least(place, 20) as contact_number, count() as contact_count, toDateTime64(min(started_at), 0) as first_at, toDateTime64(max(started_at), 0) as last_at
from contacts
group by contact_number
order by contact_number
