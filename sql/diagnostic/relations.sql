-- title: Relations between figures
-- description: Whether handle time, wait, resolution, satisfaction and churn go together, how closely, and how sure that is.
-- The estimate is Spearman's coefficient, from -1 (the more of one, the less of the other) over 0 (no relation) to 1,
-- with its interval of 95 %; of two yes-or-no figures it is the phi coefficient. With several relations tested at once
-- one looks real by chance sooner or later, so that the finding rests on the p-value adjusted for their number (Holm).
-- A relation is no cause. Long contacts may annoy, or hard problems may make contacts long and customers annoyed; a
-- topic, a team or a season may move both. Who wants to know changes one of the two and compares.
-- A score counts once per CSAT answer of an answered contact. Churn counts each customer once: by the first contact
-- whose resolution is known, and from the end of its 7 days on; who left within them is left out.
-- grain: one row per relation, then one per agent, then one per outcome of the first contact
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: within interval > 0 = 30 days    # who leaves later than this after the 7 days is not counted
-- param: min_answer_count integer >= 1 = 10  # agents with fewer scores are not shown
-- section: How closely they go together
-- chart: bar x=relation y=estimate low=low high=high
-- check: estimate between -1 and 1
-- check: estimate between low - 1e-9 and high + 1e-9
-- check: p_value between 0 and 1 and p_adjusted >= p_value - 1e-9
-- check: estimate is not null or reason is not null
with answers as (
    select handle_s, wait_s, is_first_contact_resolved, score
    from surveys_clean inner join contact_outcomes
        on contact_outcomes.interaction_id = surveys_clean.interaction_id
    where
        kind = 'csat' and score is not null and is_answered and not is_key_shared
        and started_at >= $since and started_at < $until
),
people as (
    select customer_id, max(churned_at) as churned_at from customers where customer_id is not null group by customer_id
),
first_contacts as (
    select
        is_first_contact_resolved,
        started_at + interval '7 days' as known_at,
        churned_at,
        row_number() over (partition by people.customer_id order by started_at, interaction_id) as contact_number
    from contact_outcomes inner join people on people.customer_id = contact_outcomes.customer_id
    where is_first_contact_resolved is not null and started_at >= $since and started_at < $until
),
followed as (
    select is_first_contact_resolved, coalesce(churned_at <= known_at + $within, false) as is_churned
    from first_contacts cross join observed_period
    where
        contact_number = 1 and known_at + $within <= observed_until
        and coalesce(churned_at > known_at, (select count(churned_at) from people) > 0)
),
correlations as (
    select 1 as position, 'handle time and CSAT score' as relation, spearman(handle_s, score) as rho from answers
    union all select 2, 'wait and CSAT score', spearman(wait_s, score) from answers
    union all select 3, 'first-contact resolution and CSAT score', spearman(is_first_contact_resolved, score) from answers
    union all select 4, 'first-contact resolution and churn', spearman(is_first_contact_resolved, is_churned) from followed
),
figures as (
    select
        position,
        relation,
        rho['estimate'] as estimate,
        rho['low'] as low,
        rho['high'] as high,
        rho['p_value'] as p_value,
        p_adjust(rho['p_value']) over () as p_adjusted,
        rho['n'] as known_count,
        rho['reason'] as reason
    from correlations
)
select
    relation,
    case
        when p_adjusted is null then 'not known'
        when p_adjusted >= 0.05 then 'no relation beyond chance'
        when abs(estimate) < 0.1 then 'a relation, but a weak one'
        when estimate < 0 then 'the more of the first, the less of the second'
        else 'the more of the first, the more of the second'
    end as finding,
    estimate,
    low,
    high,
    p_value,
    p_adjusted,
    known_count,
    reason
from figures
order by position;

-- section: AHT and CSAT of agents
-- chart: scatter x=aht_s y=mean_score label=agent_name trend=linear
-- check: aht_s >= 0
-- check: mean_score between mean_low - 1e-9 and mean_high + 1e-9
with answers as (
    select agent_id, handle_s, score
    from surveys_clean inner join contact_outcomes
        on contact_outcomes.interaction_id = surveys_clean.interaction_id
    where
        kind = 'csat' and score is not null and handle_s is not null and agent_id is not null and not is_key_shared
        and started_at >= $since and started_at < $until
),
by_agent as (
    select agent_id, count(*) as answer_count, avg(handle_s) as aht_s, mean_ci(score) as score_ci
    from answers
    group by agent_id
)
select
    by_agent.agent_id,
    coalesce(agent_name, by_agent.agent_id) as agent_name,
    agent_team,
    answer_count,
    aht_s,
    score_ci['estimate'] as mean_score,
    score_ci['low'] as mean_low,
    score_ci['high'] as mean_high
from by_agent left join agent_names on agent_names.agent_id = by_agent.agent_id
where answer_count >= $min_answer_count
order by aht_s, by_agent.agent_id;

-- section: Churn by resolution of the first contact
-- chart: bar x=outcome y=churn_ratio low=churn_low_ratio high=churn_high_ratio format=percent
-- check: churn_ratio between 0 and 1
-- check: churn_ratio between churn_low_ratio - 1e-9 and churn_high_ratio + 1e-9
with people as (
    select customer_id, max(churned_at) as churned_at from customers where customer_id is not null group by customer_id
),
first_contacts as (
    select
        is_first_contact_resolved,
        started_at + interval '7 days' as known_at,
        churned_at,
        row_number() over (partition by people.customer_id order by started_at, interaction_id) as contact_number
    from contact_outcomes inner join people on people.customer_id = contact_outcomes.customer_id
    where is_first_contact_resolved is not null and started_at >= $since and started_at < $until
),
followed as (
    select is_first_contact_resolved, coalesce(churned_at <= known_at + $within, false) as is_churned
    from first_contacts cross join observed_period
    where
        contact_number = 1 and known_at + $within <= observed_until
        and coalesce(churned_at > known_at, (select count(churned_at) from people) > 0)
),
by_outcome as (
    select is_first_contact_resolved, count(*) as customer_count, proportion_ci(is_churned) as churn_ci
    from followed
    group by is_first_contact_resolved
)
select
    case when is_first_contact_resolved then 'resolved' else 'not resolved' end as outcome,
    customer_count,
    churn_ci['estimate'] as churn_ratio,
    churn_ci['low'] as churn_low_ratio,
    churn_ci['high'] as churn_high_ratio
from by_outcome
order by outcome;

-- notes: what a relation does not say
select 'a relation is no cause: a third thing may move both figures, or the second the first';

-- notes: answers without a contact
with figures as (
    select count(*) as answer_count, count(contacts.interaction_id) as kept_count
    from surveys_clean
    left join (select interaction_id from contact_outcomes where is_answered and not is_key_shared) as contacts
        on contacts.interaction_id = surveys_clean.interaction_id
    where kind = 'csat' and score is not null
)
select
    (answer_count - kept_count) || ' of ' || answer_count || ' CSAT answers are left out: no answered contact is known for them'
from figures
where answer_count > kept_count
