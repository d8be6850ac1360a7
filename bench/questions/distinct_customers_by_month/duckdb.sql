select date_trunc('month', make_timestamp(epoch_us(started_at))) as month, count(distinct customer_id) as customer_count
from interactions
where epoch_us(started_at) < epoch_us(timestamptz '2026-01-01 00:00:00+00')
group by month
order by month
