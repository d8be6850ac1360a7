select customer_id, count(*) as contact_count, sum(talk_s) as talk_sum_s
from interactions
where customer_id is not null
group by customer_id
order by contact_count desc, customer_id
limit 20
