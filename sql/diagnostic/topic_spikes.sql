-- title: Unusual weeks of a topic
-- description: Weeks in which a topic of a product had an unusual number of contacts or handle time.
-- Usual is the median of all whole weeks of the same topic and product; far is beyond the limit on the modified
-- z-score. A release, an outage or a campaign shows as a run of such weeks. Weeks that the data covers in part are
-- left out.
-- grain: one row per week, topic and product, first those that stand out, then all of the topics that have one
-- param: z_limit float = 3.5              # how far from usual
-- param: min_contact_count integer = 20   # topics with fewer contacts a week at the median are left out
-- section: Weeks that stand out
-- check: contact_count >= 0
-- check: abs(contact_zscore) > 0 or abs(aht_zscore) > 0
-- alert: count(*) > 0
select week, topic, product, contact_count, usual_contact_count, contact_zscore, aht_s, usual_aht_s, aht_zscore
from topic_weeks
where usual_contact_count >= $min_contact_count and (abs(contact_zscore) > $z_limit or abs(aht_zscore) > $z_limit)
order by week, topic, product;

-- section: All weeks of these topics
-- chart: line x=week y=contact_count series=label
-- check: contact_count >= 0
with spiked as (
    select distinct topic, product
    from topic_weeks
    where usual_contact_count >= $min_contact_count and (abs(contact_zscore) > $z_limit or abs(aht_zscore) > $z_limit)
)
select
    week,
    concat_ws(', ', topic_weeks.topic, topic_weeks.product) as label,
    contact_count,
    aht_s
from topic_weeks
inner join spiked
    on (spiked.topic is not distinct from topic_weeks.topic)
    and (spiked.product is not distinct from topic_weeks.product)
order by week, label
