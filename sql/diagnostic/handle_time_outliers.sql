-- title: Handle-time outliers
-- description: Contacts far from the usual handle time of their agent and channel, by month and by agent.
-- An outlier is beyond 3.5 on the modified z-score of the logarithm of the handle time (see handle_time_scores): the
-- long tail that handle times have is usual. A share that grows from month to month, with the median behind it, is no
-- run of odd cases but a shift of the work.
-- grain: one row per month, then one per agent, then one per contact
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: max_rows integer >= 1 = 50       # how many contacts to list
-- section: By month
-- chart: line x=month y=outlier_ratio partial=is_partial base=contact_count format=percent
-- check: outlier_ratio between 0 and 1
-- check: median_s <= p95_s
-- alert: max(outlier_ratio) filter (where contact_count >= 30) > 0.01
with scores as (
    select cast(date_trunc('month', started_at) as date) as month, handle_s, is_outlier
    from handle_time_scores
    where started_at >= $since and started_at < $until
),
by_month as (
    select
        month,
        count(*) as contact_count,
        count(*) filter (where is_outlier) as outlier_count,
        rate(is_outlier) as outlier_ratio,
        avg(handle_s) as mean_s,
        percentile_cont(0.5) within group (order by cast(handle_s as double)) as median_s,
        percentile_cont(0.95) within group (order by cast(handle_s as double)) as p95_s
    from scores
    group by month
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from covered_period
)
select
    month,
    contact_count,
    outlier_count,
    outlier_ratio,
    mean_s,
    median_s,
    p95_s,
    month < covered_from or month + interval '1 month' > covered_until as is_partial
from by_month cross join bounds
order by month;

-- section: By agent
-- chart: bar x=agent_name y=outlier_ratio format=percent
-- check: outlier_ratio between 0 and 1
-- check: outlier_count <= contact_count
with scores as (
    select agent_id, handle_s, is_outlier
    from handle_time_scores
    where started_at >= $since and started_at < $until
),
by_agent as (
    select
        agent_id,
        count(*) as contact_count,
        count(*) filter (where is_outlier) as outlier_count,
        rate(is_outlier) as outlier_ratio,
        avg(handle_s) as mean_s,
        avg(handle_s) filter (where not is_outlier) as mean_without_s
    from scores
    group by agent_id
)
select
    by_agent.agent_id,
    coalesce(agent_name, by_agent.agent_id) as agent_name,
    contact_count,
    outlier_count,
    outlier_ratio,
    mean_s,
    mean_without_s
from by_agent
left join agent_names on agent_names.agent_id = by_agent.agent_id
order by outlier_ratio desc nulls last, by_agent.agent_id;

-- section: Farthest contacts
-- check: abs(modified_zscore) > 3.5
select interaction_id, agent_id, channel, topic, product, started_at, handle_s, zscore, modified_zscore
from handle_time_scores
where is_outlier and started_at >= $since and started_at < $until
order by abs(modified_zscore) desc, interaction_id
limit $max_rows;

-- notes: contacts that are not judged
with figures as (
    select
        count(*) as answered_count,
        count(*) filter (where handle_s is null) as without_count,
        count(*) filter (where handle_s is not null and agent_id is null) as without_agent_count
    from contacts_clean
    where is_answered and started_at >= $since and started_at < $until
),
scores as (
    select count(*) as handled_count, count(*) - count(is_outlier) as unjudged_count
    from handle_time_scores
    where started_at >= $since and started_at < $until
)
select unnest([
    case when without_count > 0 then
        without_count || ' of ' || answered_count || ' answered contacts have no talk, hold or wrap-up time: left out'
    end,
    case when without_agent_count > 0 then
        without_agent_count || ' of ' || answered_count || ' answered contacts have no agent: left out'
    end,
    case when unjudged_count > 0 then
        unjudged_count || ' of ' || handled_count || ' contacts are not judged: '
        || 'their agent has fewer than 20 on the channel'
    end
])
from figures cross join scores;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
