select customer_id, topic, count(*) as contact_count, avg(talk_s) as talk_avg_s, min(started_at) as first_at
from interactions
group by customer_id, topic
