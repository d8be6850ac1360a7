select date_trunc('month', started_at) as month, count(distinct customer_id) as customer_count
from interactions
where started_at < '2026-01-01'
group by month
order by month
