select toStartOfMonth(started_at) as month, uniqExact(customer_id) as customer_count
from file('interactions/*.parquet', Parquet, 'customer_id String, started_at DateTime(\'UTC\')')
where customer_id <> '' and started_at < toDateTime('2026-01-01 00:00:00', 'UTC')
group by month
order by month
