select agent_id, count(*) as contact_count, aht(talk_s, hold_s, wrap_s, is_abandoned) as aht_s
from interactions
where agent_id is not null
group by agent_id
order by agent_id
