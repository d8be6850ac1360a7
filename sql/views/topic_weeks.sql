-- title: Weeks of a topic
-- description: Contacts and mean handle time of each whole week, topic and product, and how far they are from usual.
-- A week is whole when it lies within the observed period. Usual is the median of all whole weeks (week_count) of the
-- same topic and product. A score is the distance from usual in spreads; the spread is 1.4826 times the median absolute
-- deviation of the weeks (the modified z-score), but at least what chance alone makes: the square root of the usual
-- count (Poisson), and the standard error of the week's mean handle time. So a few quiet weeks make no week unusual.
-- grain: one row per week, topic and product
-- check: contact_count > 0
-- check: abs(contact_zscore) <= abs(contact_count - usual_contact_count) / sqrt(usual_contact_count) + 1e-9
with contacts as (
    select date_trunc('week', started_at) as week_at, topic, product, handle_s, observed_from, observed_until
    from observed_period cross join contacts_clean
    where started_at is not null
),
weeks as (
    select
        cast(week_at as date) as week, topic, product,
        count(*) as contact_count,
        avg(handle_s) as aht_s,
        stddev(handle_s) / sqrt(count(handle_s)) as aht_error_s
    from contacts
    where week_at >= date_trunc('day', observed_from) and week_at + interval '6 days' <= observed_until
    group by week_at, topic, product
),
compared as (
    select
        *,
        count(*) over (partition by topic, product) as week_count,
        median(cast(contact_count as double)) over (partition by topic, product) as usual_contact_count,
        modified_zscore(contact_count) over (partition by topic, product) as contact_by_weeks,
        median(aht_s) over (partition by topic, product) as usual_aht_s,
        modified_zscore(aht_s) over (partition by topic, product) as aht_by_weeks
    from weeks
),
by_chance as (
    select
        *,
        (contact_count - usual_contact_count) / sqrt(usual_contact_count) as contact_by_chance,
        (aht_s - usual_aht_s) / nullif(aht_error_s, 0) as aht_by_chance
    from compared
)
select
    week,
    topic,
    product,
    week_count,
    contact_count,
    usual_contact_count,
    case when abs(contact_by_weeks) <= abs(contact_by_chance) then contact_by_weeks
        when contact_by_weeks is not null then contact_by_chance end as contact_zscore,
    aht_s,
    usual_aht_s,
    case when abs(aht_by_weeks) <= abs(aht_by_chance) then aht_by_weeks
        when aht_by_weeks is not null then aht_by_chance end as aht_zscore
from by_chance
