-- title: First-contact resolution by month
-- description: First-contact resolution and repeats within 7 days by month of the contact.
-- The newest month rests on the contacts whose 7 days have elapsed; unknown_count says how many are still open.
-- grain: one row per month
-- param: topic text = %                     # a topic, or a pattern of LIKE
-- chart: line x=month y=fcr_ratio low=fcr_low_ratio high=fcr_high_ratio format=percent
-- check: fcr_ratio between 0 and 1
-- check: repeat_ratio between 0 and 1
-- check: fcr_ratio between fcr_low_ratio - 1e-9 and fcr_high_ratio + 1e-9
with contacts as (
    select
        cast(date_trunc('month', started_at) as date) as month,
        is_repeat,
        is_first_contact,
        is_resolved,
        is_first_contact_resolved
    from contact_outcomes
    where is_fcr_eligible and coalesce(topic, '') like $topic
),
by_month as (
    select
        month,
        count(*) as contact_count,
        count(*) filter (where is_first_contact) as first_contact_count,
        count(is_first_contact_resolved) as known_count,
        count(*) filter (where is_first_contact_resolved) as resolved_count,
        fcr(is_first_contact_resolved) as fcr_ratio,
        rate(is_repeat) as repeat_ratio,
        rate(is_resolved) as logged_resolved_ratio
    from contacts
    group by month
),
with_spread as (
    select *, 1.96 * sqrt(resolved_count * (1 - fcr_ratio) + 0.9604) as spread from by_month
)
select
    month,
    contact_count,
    first_contact_count - known_count as unknown_count,
    known_count,
    fcr_ratio,
    (resolved_count + 1.9208 - spread) / (known_count + 3.8416) as fcr_low_ratio,
    (resolved_count + 1.9208 + spread) / (known_count + 3.8416) as fcr_high_ratio,
    repeat_ratio,
    logged_resolved_ratio
from with_spread
order by month
