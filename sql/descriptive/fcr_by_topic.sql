-- title: First-contact resolution by topic
-- description: Share of first contacts without a repeat within the window, beside what agents logged.
-- Two measures of the same thing, side by side and never mixed. contact_count is the sum of four: early_count, contacts
-- less than the window after the data begins, which may repeat one that it does not hold; repeats; unknown_count, first
-- contacts whose window has not elapsed; known_count, on which fcr_ratio rests with its Wilson interval of 95 %.
-- fcr_survival_ratio also uses what is known of unknown_count (Kaplan-Meier), its margin is of 95 %.
-- grain: one row per topic
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: window interval > 0 = 7 days     # a repeat within this span means not resolved
-- chart: bar x=topic y=fcr_ratio,logged_resolved_ratio format=percent title="First-contact resolution by topic"
-- check: fcr_ratio between 0 and 1
-- check: fcr_ratio between fcr_low_ratio - 1e-9 and fcr_high_ratio + 1e-9
-- check: resolved_count <= known_count
-- check: fcr_survival_ratio between 0 and 1
-- check: early_count >= 0 and unknown_count >= 0
-- alert: min(fcr_ratio) filter (where known_count >= 30) < 0.6
with contacts as (
    select interaction_id, customer_id, topic, started_at, is_resolved, observed_from, observed_until
    from observed_period cross join contacts_clean
    where is_fcr_eligible
),
outcomes as (
    select
        topic,
        started_at,
        is_resolved,
        observed_until,
        lead(started_at) over matter as next_at,
        is_repeat_contact(started_at, $window, observed_from) over matter as is_repeat,
        first_contact_resolved(started_at, $window, observed_until, observed_from)
            over matter as is_first_contact_resolved
    from contacts
    window matter as (partition by customer_id, topic order by started_at, interaction_id)
),
by_topic as (
    select
        topic,
        count(*) as contact_count,
        count(is_repeat) as judged_count,
        count(*) filter (where not is_repeat) as first_contact_count,
        count(is_first_contact_resolved) as known_count,
        count(*) filter (where is_first_contact_resolved) as resolved_count,
        fcr(is_first_contact_resolved) as fcr_ratio,
        fcr_ci(is_first_contact_resolved) as fcr_ci,
        fcr_survival(started_at, next_at, $window, observed_until)
            filter (where not is_repeat) as fcr_survival_ratio,
        fcr_survival_error(started_at, next_at, $window, observed_until)
            filter (where not is_repeat) as fcr_survival_error,
        rate(is_repeat) as repeat_ratio,
        rate(is_resolved) as logged_resolved_ratio
    from outcomes
    where started_at >= $since and started_at < $until
    group by topic
)
select
    topic,
    contact_count,
    contact_count - judged_count as early_count,
    first_contact_count,
    first_contact_count - known_count as unknown_count,
    known_count,
    resolved_count,
    fcr_ratio,
    fcr_ci['low'] as fcr_low_ratio,
    fcr_ci['high'] as fcr_high_ratio,
    fcr_survival_ratio,
    1.96 * fcr_survival_error as fcr_survival_margin,
    repeat_ratio,
    logged_resolved_ratio
from by_topic
order by contact_count desc, topic;

-- notes: contacts that first-contact resolution leaves out
with figures as (
    select
        count(*) as answered_count,
        count(*) filter (where not is_fcr_eligible) as left_out_count
    from contacts_clean
    where is_inbound and is_answered and started_at >= $since and started_at < $until
)
select
    left_out_count || ' of ' || answered_count || ' answered inbound contacts are left out: no customer or topic'
from figures
where left_out_count > 0;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
