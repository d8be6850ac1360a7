-- title: Agent names
-- description: One name and team for each agent, so that joining it never multiplies rows.
-- grain: one row per agent_id
select agent_id, max(name) as agent_name, max(nullif(lower(trim(team)), '')) as agent_team
from agents
where agent_id is not null
group by agent_id
