-- read: ../../views/duckdb.sql
-- clock
with contacts as (
    select
        agent_id, talk_s, hold_s, wrap_s, handle_s,
        avg(handle_s) over (partition by channel, topic) as usual_s
    from contacts_clean
    where handle_s is not null and agent_id is not null
        and started_at >= timestamptz '1970-01-01 00:00:00+00' and started_at < timestamptz '2200-01-01 00:00:00+00'
),
by_agent as (
    select
        agent_id,
        count(*) as contact_count,
        avg(handle_s) as aht_s,
        1.96 * stddev(handle_s) / sqrt(count(*)) as aht_margin_s,
        median(handle_s) as median_s,
        avg(talk_s) as talk_mean_s,
        avg(hold_s) as hold_mean_s,
        avg(wrap_s) as wrap_mean_s,
        avg(usual_s) as expected_s
    from contacts
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
from by_agent left join agent_names using (agent_id)
order by difference_s desc, by_agent.agent_id
