-- title: First-contact resolution by agent
-- description: Share of each agent's first contacts without a repeat within 7 days, beside what the agent logged.
-- The contact counts for the agent who had the first contact. known_count are first contacts whose 7 days have elapsed,
-- and at least 7 days after the data begins; on them fcr_ratio and its Wilson interval of 95 % rest. For a comparison that allows for the topics that an
-- agent gets and for chance see agents_low_resolution.
-- grain: one row per agent
-- param: since timestamp = 1970-01-01       # first contact start
-- param: until timestamp = 2200-01-01       # contacts before this time
-- param: min_known_count integer >= 0 = 1   # agents with fewer known first contacts are left out
-- chart: bar x=agent_name y=fcr_ratio,logged_resolved_ratio format=percent
-- check: fcr_ratio between 0 and 1
-- check: fcr_ratio between fcr_low_ratio - 1e-9 and fcr_high_ratio + 1e-9
-- check: resolved_count <= known_count
with contacts as (
    select agent_id, is_repeat, is_resolved, is_first_contact_resolved
    from contact_outcomes
    where is_fcr_eligible and agent_id is not null and started_at >= $since and started_at < $until
),
by_agent as (
    select
        agent_id,
        count(*) as contact_count,
        count(is_first_contact_resolved) as known_count,
        count(*) filter (where is_first_contact_resolved) as resolved_count,
        fcr(is_first_contact_resolved) as fcr_ratio,
        fcr_ci(is_first_contact_resolved) as fcr_ci,
        rate(is_repeat) as repeat_ratio,
        rate(is_resolved) as logged_resolved_ratio
    from contacts
    group by agent_id
    having count(is_first_contact_resolved) >= $min_known_count
)
select
    by_agent.agent_id,
    coalesce(agent_name, by_agent.agent_id) as agent_name,
    agent_team,
    contact_count,
    known_count,
    resolved_count,
    fcr_ratio,
    fcr_ci['low'] as fcr_low_ratio,
    fcr_ci['high'] as fcr_high_ratio,
    repeat_ratio,
    logged_resolved_ratio
from by_agent
left join agent_names on agent_names.agent_id = by_agent.agent_id
order by fcr_ratio nulls last, by_agent.agent_id;

-- notes: contacts that first-contact resolution leaves out
with figures as (
    select
        count(*) as answered_count,
        count(*) filter (where not is_fcr_eligible) as left_out_count,
        count(*) filter (where is_fcr_eligible and agent_id is null) as without_agent_count
    from contacts_clean
    where is_inbound and is_answered and started_at >= $since and started_at < $until
)
select unnest([
    case when left_out_count > 0 then
        left_out_count || ' of ' || answered_count || ' answered inbound contacts are left out: no customer or topic'
    end,
    case when without_agent_count > 0 then
        without_agent_count || ' of ' || answered_count || ' answered inbound contacts are left out: no agent is known'
    end
])
from figures;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
