-- title: Agents with low resolution
-- description: Agents whose contacts are resolved less often than the topics they get let expect, beyond chance.
-- The expected share is what all agents reach on the same topics. The z-score is (resolved - expected) over the
-- square root of the sum of p (1 - p), the normal form of the binomial test. With dozens of agents a limit of 3
-- rather than 1.96 keeps false alarms rare. Repeats within 7 days and what agents log are tested apart.
-- grain: one row per agent
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: z_limit float >= 0 = 3           # standard deviations below expected that count as low
-- param: min_known_count integer >= 0 = 30  # agents with fewer known outcomes are left out
-- chart: bar x=agent_name y=fcr_zscore,logged_zscore
-- check: fcr_ratio between 0 and 1
-- check: expected_fcr_ratio between 0 and 1
-- check: known_count >= 0 and logged_count >= 0
-- alert: count(*) filter (where is_low) > 0
with contacts as (
    select
        agent_id,
        cast(cast(is_first_contact_resolved as int) as double) as resolved,
        fcr(is_first_contact_resolved) over (partition by topic) as expected,
        cast(cast(is_resolved as int) as double) as logged,
        rate(is_resolved) over (partition by topic) as expected_logged
    from contact_outcomes
    where is_fcr_eligible and agent_id is not null and started_at >= $since and started_at < $until
),
by_agent as (
    select
        agent_id,
        count(resolved) as known_count,
        avg(resolved) as fcr_ratio,
        avg(expected) filter (where resolved is not null) as expected_fcr_ratio,
        sum(resolved - expected)
            / nullif(sqrt(sum(expected * (1 - expected)) filter (where resolved is not null)), 0) as fcr_zscore,
        count(logged) as logged_count,
        avg(logged) as logged_resolved_ratio,
        avg(expected_logged) filter (where logged is not null) as expected_logged_ratio,
        sum(logged - expected_logged) / nullif(
            sqrt(sum(expected_logged * (1 - expected_logged)) filter (where logged is not null)), 0
        ) as logged_zscore
    from contacts
    group by agent_id
)
select
    by_agent.agent_id,
    coalesce(agent_name, by_agent.agent_id) as agent_name,
    agent_team,
    known_count,
    fcr_ratio,
    expected_fcr_ratio,
    fcr_zscore,
    logged_count,
    logged_resolved_ratio,
    expected_logged_ratio,
    logged_zscore,
    coalesce(fcr_zscore <= -$z_limit, false) or coalesce(logged_zscore <= -$z_limit, false) as is_low
from by_agent
left join agent_names on agent_names.agent_id = by_agent.agent_id
where known_count >= $min_known_count or logged_count >= $min_known_count
order by least(coalesce(fcr_zscore, 0), coalesce(logged_zscore, 0)), by_agent.agent_id;

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
