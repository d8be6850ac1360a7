-- title: Net promoter score by month and product
-- description: NPS in points with its margin of 95 %, by month of the answer and product of the contact.
-- Promoters answer 9 or 10, detractors 0 to 6. Margin is 1.96 * 100 * sqrt((p + d - (p - d)^2) / n) with the shares p
-- and d; a single answer has none. Its ends stop at -100 and 100.
-- grain: one row per month, then one per month and product
-- param: since timestamp = 1970-01-01     # first answer
-- param: until timestamp = 2200-01-01     # answers before this time
-- section: By month
-- chart: line x=month y=nps low=nps_low high=nps_high partial=is_partial base=answer_count format=points
-- check: nps between -100 and 100
-- check: promoter_count + passive_count + detractor_count = answer_count
-- alert: min(nps_high) < -50
with answers as (
    select cast(date_trunc('month', responded_at) as date) as month, score
    from surveys_clean
    where kind = 'nps' and score is not null and responded_at >= $since and responded_at < $until
),
by_month as (
    select
        month,
        count(*) as answer_count,
        count(*) filter (where score >= 9) as promoter_count,
        count(*) filter (where score in (7, 8)) as passive_count,
        count(*) filter (where score <= 6) as detractor_count,
        nps(score) as nps,
        case when count(*) > 1 then 196 * sqrt((
            avg(case when score >= 9 or score <= 6 then 1.0 else 0.0 end) - power(nps(score) / 100, 2)
        ) / count(*)) end as nps_margin
    from answers
    group by month
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from answer_period
)
select
    month,
    answer_count,
    promoter_count,
    passive_count,
    detractor_count,
    nps,
    nps_margin,
    case when nps_margin is not null then greatest(nps - nps_margin, -100) end as nps_low,
    case when nps_margin is not null then least(nps + nps_margin, 100) end as nps_high,
    month < covered_from or month + interval '1 month' > covered_until as is_partial
from by_month cross join bounds
order by month;

-- section: By month and product
-- chart: line x=month y=nps series=product partial=is_partial base=answer_count format=points
-- check: nps between -100 and 100
-- check: nps_margin >= 0
with answers as (
    select cast(date_trunc('month', responded_at) as date) as month, product, score
    from survey_contacts
    where kind = 'nps' and score is not null and responded_at >= $since and responded_at < $until
),
by_product as (
    select
        month,
        product,
        count(*) as answer_count,
        nps(score) as nps,
        case when count(*) > 1 then 196 * sqrt((
            avg(case when score >= 9 or score <= 6 then 1.0 else 0.0 end) - power(nps(score) / 100, 2)
        ) / count(*)) end as nps_margin
    from answers
    group by month, product
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from answer_period
)
select
    month,
    product,
    answer_count,
    nps,
    nps_margin,
    month < covered_from or month + interval '1 month' > covered_until as is_partial
from by_product cross join bounds
order by month, product;

-- notes: answers without a score on the scale
with figures as (
    select count(*) as answer_count, count(*) - count(score) as unusable_count
    from surveys_clean
    where kind = 'nps' and responded_at >= $since and responded_at < $until
)
select unusable_count || ' of ' || answer_count || ' NPS answers have no score on the scale: left out'
from figures
where unusable_count > 0;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
