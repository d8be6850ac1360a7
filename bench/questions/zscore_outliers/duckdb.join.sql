with moments as (
    select agent_id, avg(talk_s) as mean, stddev_samp(talk_s) as deviation
    from interactions
    where agent_id is not null
    group by agent_id
)
select
    interactions.agent_id,
    count(*) as contact_count,
    count(*) filter (abs(talk_s - mean) > 3 * deviation) as outlier_count,
    max(talk_s - mean) / any_value(deviation) as score_max
from interactions
inner join moments on moments.agent_id = interactions.agent_id
group by interactions.agent_id
order by interactions.agent_id
