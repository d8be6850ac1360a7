-- title: Unusual weeks of a topic
-- description: Weeks in which a topic of a product had far more contacts or far longer ones than usual.
-- Usual is the median of all whole weeks of the same topic and product; far is beyond the limit on a robust z-score,
-- whose spread is at least that of chance (see topic_weeks). what says which of the two figures stands out and in which
-- direction; the other is shown beside it. A topic is judged from min_week_count whole weeks on. A release, an outage
-- or a campaign shows as a run of such weeks. Weeks that the data covers in part are left out.
-- grain: one row per week, topic and product, first those that stand out, then all of the topics that have one
-- param: z_limit float >= 0 = 3.5         # how far from usual
-- param: min_contact_count integer >= 0 = 20  # topics with fewer contacts a week at the median are left out
-- param: min_week_count integer >= 0 = 12  # topics with fewer whole weeks are not judged
-- param: also_below boolean = false       # also weeks with fewer or shorter contacts than usual
-- section: Weeks that stand out
-- check: contact_count >= 0
-- check: greatest(abs(contact_zscore), abs(aht_zscore)) > 0
-- alert: count(*) > 0
with judged as (
    select
        *,
        concat_ws(
            ', ',
            case when contact_zscore > $z_limit then 'more contacts' end,
            case when contact_zscore < -$z_limit and $also_below then 'fewer contacts' end,
            case when aht_zscore > $z_limit then 'longer handle time' end,
            case when aht_zscore < -$z_limit and $also_below then 'shorter handle time' end
        ) as what
    from topic_weeks
    where usual_contact_count >= $min_contact_count and week_count >= $min_week_count
)
select
    week, topic, product, what, week_count, contact_count, usual_contact_count, contact_zscore,
    aht_s, usual_aht_s, aht_zscore
from judged
where what <> ''
order by week, topic, product;

-- section: All weeks of these topics
-- chart: line x=week y=contact_count series=label
-- check: contact_count >= 0
with judged as (
    select
        *,
        concat_ws(
            ', ',
            case when contact_zscore > $z_limit then 'more contacts' end,
            case when contact_zscore < -$z_limit and $also_below then 'fewer contacts' end,
            case when aht_zscore > $z_limit then 'longer handle time' end,
            case when aht_zscore < -$z_limit and $also_below then 'shorter handle time' end
        ) as what
    from topic_weeks
    where usual_contact_count >= $min_contact_count and week_count >= $min_week_count
),
spiked as (
    select distinct topic, product from judged where what <> ''
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
order by week, label;

-- notes: topics that are not judged
with topics as (
    select distinct topic, product, week_count, usual_contact_count from topic_weeks
),
figures as (
    select
        count(*) as topic_count,
        count(*) filter (where week_count < $min_week_count) as short_count,
        count(*) filter (
            where week_count >= $min_week_count and usual_contact_count < $min_contact_count
        ) as small_count
    from topics
)
select unnest([
    case when short_count > 0 then
        short_count || ' of ' || topic_count || ' topics with their product have fewer than ' || $min_week_count
        || ' whole weeks: they are not judged'
    end,
    case when small_count > 0 then
        small_count || ' of ' || topic_count || ' topics with their product have fewer than ' || $min_contact_count
        || ' contacts in a usual week: they are not judged'
    end
])
from figures
