select
    agent_id,
    count(*) as contact_count,
    avg(wait_s) as wait_avg_s,
    avg(talk_s) as talk_avg_s,
    avg(hold_s) as hold_avg_s,
    avg(wrap_s) as wrap_avg_s
from interactions
where agent_id is not null
group by agent_id
order by agent_id
