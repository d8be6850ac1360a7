select count(distinct customer_id) as customer_count from interactions
