-- durations are whole seconds: each one of an agent counted once, all else over these counts
with counted as materialized (
    select agent_id, talk_s, count(*) as contact_count from interactions where agent_id is not null group by all
),
means as (
    select agent_id, sum(talk_s * contact_count) / sum(contact_count) filter (talk_s is not null) as mean
    from counted
    group by agent_id
),
moments as (
    select
        agent_id,
        any_value(mean) as mean,
        sqrt(sum(contact_count * (talk_s - mean) ** 2) / (sum(contact_count) filter (talk_s is not null) - 1)) as deviation
    from counted
    inner join means using (agent_id)
    group by agent_id
)
select
    agent_id,
    cast(sum(contact_count) as bigint) as contact_count,
    cast(coalesce(sum(contact_count) filter (abs(talk_s - mean) > 3 * deviation), 0) as bigint) as outlier_count,
    max(talk_s - mean) / any_value(deviation) as score_max
from counted
inner join moments using (agent_id)
group by agent_id
order by agent_id
