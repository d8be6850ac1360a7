-- title: First-contact resolution by month
-- description: First-contact resolution and repeats within 7 days by month of the contact.
-- contact_count is the sum of four: early_count, contacts less than 7 days after the data begins, which may repeat one
-- that it does not hold; repeats; unknown_count, first contacts whose 7 days have not elapsed; known_count, on which
-- fcr_ratio rests. fcr_survival_ratio also uses what is known of unknown_count (Kaplan-Meier), its margin is of 95 %.
-- grain: one row per month
-- param: since timestamp = 1970-01-01       # first contact start
-- param: until timestamp = 2200-01-01       # contacts before this time
-- param: topic text like contacts_clean.topic = %  # a topic, or a pattern of LIKE
-- chart: line x=month y=fcr_ratio low=fcr_low_ratio high=fcr_high_ratio partial=is_partial base=known_count format=percent
-- check: fcr_ratio between 0 and 1
-- check: repeat_ratio between 0 and 1
-- check: fcr_survival_ratio between 0 and 1
-- check: fcr_ratio between fcr_low_ratio - 1e-9 and fcr_high_ratio + 1e-9
with contacts as (
    select
        cast(date_trunc('month', started_at) as date) as month,
        started_at,
        next_contact_at,
        observed_until,
        is_repeat,
        is_first_contact,
        is_resolved,
        is_first_contact_resolved
    from observed_period cross join contact_outcomes
    where is_fcr_eligible and coalesce(topic, '') like $topic and started_at >= $since and started_at < $until
),
by_month as (
    select
        month,
        count(*) as contact_count,
        count(is_repeat) as judged_count,
        count(*) filter (where is_first_contact) as first_contact_count,
        count(is_first_contact_resolved) as known_count,
        fcr(is_first_contact_resolved) as fcr_ratio,
        fcr_ci(is_first_contact_resolved) as fcr_ci,
        fcr_survival(started_at, next_contact_at, interval '7 days', observed_until)
            filter (where is_first_contact) as fcr_survival_ratio,
        fcr_survival_error(started_at, next_contact_at, interval '7 days', observed_until)
            filter (where is_first_contact) as fcr_survival_error,
        rate(is_repeat) as repeat_ratio,
        rate(is_resolved) as logged_resolved_ratio
    from contacts
    group by month
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from covered_period
)
select
    month,
    contact_count,
    contact_count - judged_count as early_count,
    first_contact_count - known_count as unknown_count,
    known_count,
    fcr_ratio,
    fcr_ci['low'] as fcr_low_ratio,
    fcr_ci['high'] as fcr_high_ratio,
    fcr_survival_ratio,
    1.96 * fcr_survival_error as fcr_survival_margin,
    repeat_ratio,
    logged_resolved_ratio,
    month < covered_from or month + interval '1 month' > covered_until as is_partial
from by_month cross join bounds
order by month;

-- notes: contacts that first-contact resolution leaves out
with figures as (
    select
        count(*) as answered_count,
        count(*) filter (where not is_fcr_eligible) as left_out_count
    from contacts_clean
    where is_inbound and is_answered and coalesce(topic, '') like $topic and started_at >= $since and started_at < $until
)
select
    left_out_count || ' of ' || answered_count || ' answered inbound contacts are left out: no customer or topic'
from figures
where left_out_count > 0;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
