select count(*) as customer_count, sum(contact_count) as contact_count, max(talk_sum_s) as talk_max_s
from (select customer_id, count(*) as contact_count, sum(talk_s) as talk_sum_s from interactions group by customer_id)
