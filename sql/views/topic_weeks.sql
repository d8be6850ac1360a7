-- title: Weeks of a topic
-- description: Contacts and mean handle time of each whole week, topic and product, and how far they are from usual.
-- A week is whole when it lies within the observed period. The scores are modified z-scores over the weeks of the
-- same topic and product; the usual figures are medians.
-- grain: one row per week, topic and product
-- check: contact_count > 0
with contacts as (
    select date_trunc('week', started_at) as week_at, topic, product, handle_s, observed_from, observed_until
    from observed_period cross join contacts_clean
    where started_at is not null
),
weeks as (
    select cast(week_at as date) as week, topic, product, count(*) as contact_count, avg(handle_s) as aht_s
    from contacts
    where week_at >= date_trunc('day', observed_from) and week_at + interval '6 days' <= observed_until
    group by week_at, topic, product
)
select
    week,
    topic,
    product,
    contact_count,
    median(cast(contact_count as double)) over (partition by topic, product) as usual_contact_count,
    modified_zscore(contact_count) over (partition by topic, product) as contact_zscore,
    aht_s,
    median(aht_s) over (partition by topic, product) as usual_aht_s,
    modified_zscore(aht_s) over (partition by topic, product) as aht_zscore
from weeks
