with scores as (
    select agent_id, zscore(talk_s) over (partition by agent_id) as score
    from interactions
    where agent_id is not null
)
select
    agent_id,
    count(*) as contact_count,
    count(*) filter (where abs(score) > 3) as outlier_count,
    max(score) as score_max
from scores
group by agent_id
order by agent_id
