select date_trunc('month', arrow_cast(started_at, 'Timestamp(Microsecond, None)')) as month, count(distinct customer_id) as customer_count
from interactions
where started_at < '2026-01-01'
group by 1
order by 1
