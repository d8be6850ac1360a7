-- title: Agent names
-- description: One name and team for each agent, so that joining it never multiplies rows.
-- grain: one row per agent_id
select agent_id, max(name) as agent_name, max(nullif(lower(trim(team)), '')) as agent_team
from agents
where agent_id is not null
group by agent_id;

-- notes: agents with several names
with names as (
    select agent_id, count(distinct name) as name_count from agents where agent_id is not null group by agent_id
),
figures as (
    select count(*) as agent_count, count(*) filter (where name_count > 1) as several_count from names
)
select
    several_count || ' of ' || agent_count || ' agent_ids have several names: the last in the alphabet is shown'
from figures
where several_count > 0.01 * agent_count
