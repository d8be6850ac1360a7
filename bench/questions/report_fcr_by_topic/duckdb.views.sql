-- read: ../../views/duckdb.sql
-- clock
with outcomes as (
    select
        topic,
        epoch_us(started_at) as at_us,
        is_resolved,
        lag(at_us) over matter as previous_us,
        lead(at_us) over matter as next_us,
        epoch_us(observed_from) as from_us,
        epoch_us(observed_until) as until_us
    from contacts_clean cross join (select observed_from, observed_until from observed_period) as period
    where is_fcr_eligible
    window matter as (partition by customer_id, topic order by epoch_us(started_at), interaction_id)
),
judged as materialized (
    select
        topic,
        is_resolved,
        is_repeat_contact(at_us, previous_us, from_us) as is_repeat,
        first_contact_resolved(at_us, previous_us, next_us, from_us, until_us) as is_first_contact_resolved,
        -- how long a first contact was followed: to its repeat, or to the end of the data; NULL through its 7 days
        next_us <= least(at_us + days(7), until_us) as is_followed,
        case when is_followed then next_us - at_us when at_us + days(7) > until_us then until_us - at_us end as followed_us
    from outcomes
    where at_us >= epoch_us(timestamptz '1970-01-01 00:00:00+00') and at_us < epoch_us(timestamptz '2200-01-01 00:00:00+00')
),
times as (
    select
        topic, followed_us,
        count(*) as contact_count,
        count(*) filter (is_followed) as repeat_count
    from judged
    where not is_repeat
    group by topic, followed_us
),
at_risk as (
    select
        *,
        sum(contact_count) over (
            partition by topic order by followed_us nulls last rows between current row and unbounded following
        ) as risk_count
    from times
),
-- Kaplan and Meier, Greenwood; unknown when the last contact in observation was censored
survival as (
    select
        topic,
        case when bool_or(followed_us is null or repeat_count = risk_count)
            then product(1 - repeat_count / risk_count) filter (followed_us is not null) end as share,
        sum(repeat_count / (risk_count * (risk_count - repeat_count))) filter (followed_us is not null) as variance
    from at_risk
    group by topic
),
by_topic as (
    select
        topic,
        count(*) as contact_count,
        count(is_repeat) as judged_count,
        count(*) filter (not is_repeat) as first_contact_count,
        count(is_first_contact_resolved) as known_count,
        count(*) filter (is_first_contact_resolved) as resolved_count,
        rate(is_first_contact_resolved) as fcr_ratio,
        rate(is_repeat) as repeat_ratio,
        rate(is_resolved) as logged_resolved_ratio
    from judged
    group by topic
),
with_spread as (
    select *, 1.96 * sqrt(resolved_count * (1 - fcr_ratio) + 0.9604) as spread from by_topic
)
select
    with_spread.topic,
    contact_count,
    contact_count - judged_count as early_count,
    first_contact_count,
    first_contact_count - known_count as unknown_count,
    known_count,
    resolved_count,
    fcr_ratio,
    (resolved_count + 1.9208 - spread) / (known_count + 3.8416) as fcr_low_ratio,
    (resolved_count + 1.9208 + spread) / (known_count + 3.8416) as fcr_high_ratio,
    share as fcr_survival_ratio,
    1.96 * if(share = 0, 0, share * sqrt(variance)) as fcr_survival_margin,
    repeat_ratio,
    logged_resolved_ratio
from with_spread left join survival on survival.topic is not distinct from with_spread.topic
order by contact_count desc, with_spread.topic
