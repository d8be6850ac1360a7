-- title: First-contact resolution by window
-- description: How the choice of the window moves first-contact resolution and the repeat rate.
-- Windows of 1, 3, 7, 14 and 30 days over the same contacts. A longer window finds more repeats and leaves fewer
-- contacts whose outcome is known, at both ends of the data: contact_count is the sum of early_count, contacts less
-- than the window after the data begins, repeats, unknown_count, first contacts whose window has not elapsed, and
-- known_count, on which fcr_ratio rests. Data shorter than two windows has none. fcr_survival_ratio also uses what is
-- known of unknown_count (Kaplan-Meier), its margin is of 95 %.
-- grain: one row per window
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- chart: line x=window_days y=fcr_ratio low=fcr_low_ratio high=fcr_high_ratio format=percent
-- check: fcr_ratio between 0 and 1
-- check: repeat_ratio between 0 and 1
-- check: fcr_survival_ratio between 0 and 1
-- check: early_count >= 0 and unknown_count >= 0
with contacts as (
    select interaction_id, customer_id, topic, started_at, observed_from, observed_until
    from observed_period cross join contacts_clean
    where is_fcr_eligible
),
flags as (
    select
        started_at, observed_until, lead(started_at) over matter as next_at,
        is_repeat_contact(started_at, interval '1 day', observed_from) over matter as is_repeat_1,
        is_repeat_contact(started_at, interval '3 days', observed_from) over matter as is_repeat_3,
        is_repeat_contact(started_at, interval '7 days', observed_from) over matter as is_repeat_7,
        is_repeat_contact(started_at, interval '14 days', observed_from) over matter as is_repeat_14,
        is_repeat_contact(started_at, interval '30 days', observed_from) over matter as is_repeat_30,
        first_contact_resolved(started_at, interval '1 day', observed_until, observed_from)
            over matter as is_resolved_1,
        first_contact_resolved(started_at, interval '3 days', observed_until, observed_from)
            over matter as is_resolved_3,
        first_contact_resolved(started_at, interval '7 days', observed_until, observed_from)
            over matter as is_resolved_7,
        first_contact_resolved(started_at, interval '14 days', observed_until, observed_from)
            over matter as is_resolved_14,
        first_contact_resolved(started_at, interval '30 days', observed_until, observed_from)
            over matter as is_resolved_30
    from contacts
    window matter as (partition by customer_id, topic order by started_at, interaction_id)
),
figures as (
    select
        count(*) as contact_count,
        unnest([1, 3, 7, 14, 30]) as window_days,
        unnest([
            count(is_repeat_1), count(is_repeat_3), count(is_repeat_7), count(is_repeat_14), count(is_repeat_30)
        ]) as judged_count,
        unnest([
            count(*) filter (where not is_repeat_1), count(*) filter (where not is_repeat_3),
            count(*) filter (where not is_repeat_7), count(*) filter (where not is_repeat_14),
            count(*) filter (where not is_repeat_30)
        ]) as first_contact_count,
        unnest([
            count(is_resolved_1), count(is_resolved_3), count(is_resolved_7), count(is_resolved_14), count(is_resolved_30)
        ]) as known_count,
        unnest([
            count(*) filter (where is_resolved_1), count(*) filter (where is_resolved_3),
            count(*) filter (where is_resolved_7), count(*) filter (where is_resolved_14),
            count(*) filter (where is_resolved_30)
        ]) as resolved_count,
        unnest([
            fcr(is_resolved_1), fcr(is_resolved_3), fcr(is_resolved_7), fcr(is_resolved_14), fcr(is_resolved_30)
        ]) as fcr_ratio,
        unnest([
            fcr_ci(is_resolved_1), fcr_ci(is_resolved_3), fcr_ci(is_resolved_7), fcr_ci(is_resolved_14), fcr_ci(is_resolved_30)
        ]) as fcr_ci,
        unnest([
            fcr_survival(started_at, next_at, interval '1 day', observed_until) filter (where not is_repeat_1),
            fcr_survival(started_at, next_at, interval '3 days', observed_until) filter (where not is_repeat_3),
            fcr_survival(started_at, next_at, interval '7 days', observed_until) filter (where not is_repeat_7),
            fcr_survival(started_at, next_at, interval '14 days', observed_until) filter (where not is_repeat_14),
            fcr_survival(started_at, next_at, interval '30 days', observed_until) filter (where not is_repeat_30)
        ]) as fcr_survival_ratio,
        unnest([
            fcr_survival_error(started_at, next_at, interval '1 day', observed_until) filter (where not is_repeat_1),
            fcr_survival_error(started_at, next_at, interval '3 days', observed_until) filter (where not is_repeat_3),
            fcr_survival_error(started_at, next_at, interval '7 days', observed_until) filter (where not is_repeat_7),
            fcr_survival_error(started_at, next_at, interval '14 days', observed_until) filter (where not is_repeat_14),
            fcr_survival_error(started_at, next_at, interval '30 days', observed_until) filter (where not is_repeat_30)
        ]) as fcr_survival_error,
        unnest([
            rate(is_repeat_1), rate(is_repeat_3), rate(is_repeat_7), rate(is_repeat_14), rate(is_repeat_30)
        ]) as repeat_ratio
    from flags
    where started_at >= $since and started_at < $until
)
select
    window_days,
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
    repeat_ratio
from figures
order by window_days;

-- notes: windows for which the data is too short
with windows as (
    select unnest([1, 3, 7, 14, 30]) as days
),
covered as (
    select days, date_part('epoch', observed_until - observed_from) / 86400 as covered_days
    from observed_period cross join windows
)
select 'a window of ' || days || ' days: nothing is known, as the data would have to hold ' || days
    || ' days before and after a contact'
from covered
where covered_days < 2 * days
order by days;

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
