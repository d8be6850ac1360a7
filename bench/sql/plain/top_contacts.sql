select interaction_id, customer_id, queue, talk_s
from interactions
where talk_s is not null
order by talk_s desc, interaction_id
limit 20
