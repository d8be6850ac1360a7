select
    agent_id,
    count(*) as contact_count,
    avg(coalesce(talk_s, 0) + coalesce(hold_s, 0) + coalesce(wrap_s, 0))
        filter (not is_abandoned and coalesce(talk_s, hold_s, wrap_s) is not null) as aht_s
from interactions
where agent_id is not null
group by agent_id
order by agent_id
