select queue, count(distinct customer_id) as customer_count from interactions group by queue order by queue
