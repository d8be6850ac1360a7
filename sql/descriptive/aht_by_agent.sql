-- title: Average handle time by agent
-- description: Mean handle time per agent with its parts and its distance from the other agents of the same channels.
-- expected_s is what the agent's contacts would have taken at the mean of their channel and topic, so that
-- difference_s does not blame an agent for the contacts that the agent gets.
-- grain: one row per agent
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- chart: bar x=agent_name y=aht_s,expected_s format=duration
-- check: aht_s >= 0
-- check: contact_count > 0
with contacts as (
    select agent_id, channel, topic, talk_s, hold_s, wrap_s, handle_s
    from contacts_clean
    where handle_s is not null and agent_id is not null and started_at >= $since and started_at < $until
),
with_usual as (
    select *, avg(handle_s) over (partition by channel, topic) as usual_s from contacts
),
by_agent as (
    select
        agent_id,
        count(*) as contact_count,
        aht(talk_s, hold_s, wrap_s) as aht_s,
        1.96 * stddev(handle_s) / sqrt(count(*)) as aht_margin_s,
        median(cast(handle_s as double)) as median_s,
        avg(talk_s) as talk_mean_s,
        avg(hold_s) as hold_mean_s,
        avg(wrap_s) as wrap_mean_s,
        avg(usual_s) as expected_s
    from with_usual
    group by agent_id
)
select
    by_agent.agent_id,
    coalesce(agent_name, by_agent.agent_id) as agent_name,
    agent_team,
    contact_count,
    aht_s,
    aht_margin_s,
    expected_s,
    aht_s - expected_s as difference_s,
    median_s,
    talk_mean_s,
    hold_mean_s,
    wrap_mean_s
from by_agent
left join agent_names on agent_names.agent_id = by_agent.agent_id
order by difference_s desc, by_agent.agent_id;

-- notes: contacts without a handle time
with figures as (
    select count(*) as answered_count, count(*) - count(handle_s) as without_count
    from contacts_clean
    where is_answered and agent_id is not null and started_at >= $since and started_at < $until
)
select without_count || ' of ' || answered_count || ' answered contacts have no talk, hold or wrap-up time: left out'
from figures
where without_count > 0;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
