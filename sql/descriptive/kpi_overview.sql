-- title: KPI overview
-- description: The main figures of the newest period beside the period before it.
-- The newest period ends with the newest contact. Ratios carry their Wilson interval of 95 %. FCR counts first
-- contacts whose 7 days have elapsed, so it rests on the older part of the newest period. Open contacts are counted
-- at its end.
-- grain: one row per figure
-- param: period interval = 28 days        # length of each of the two periods
-- param: threshold_s float = 20           # service level counts contacts answered within this many seconds
-- chart: figure x=kpi value=value previous=previous_value low=value_low high=value_high unit=unit
-- check: value between value_low - 1e-9 and value_high + 1e-9
-- check: case unit when 'ratio' then value between 0 and 1 when 'count' then value >= 0 end
-- alert: min(value) filter (where kpi = 'service level') < 0.7
-- alert: min(value) filter (where kpi = 'abandonment rate') > 0.1
with contacts as (
    select contact_outcomes.*, started_at > observed_until - $period as is_current
    from observed_period cross join contact_outcomes
    where started_at > observed_until - $period - $period
),
answers as (
    select surveys_clean.*, responded_at > observed_until - $period as is_current
    from observed_period cross join surveys_clean
    where responded_at > observed_until - $period - $period and responded_at <= observed_until
),
ends as (
    select true as is_current, observed_until as ends_at from observed_period
    union all select false, observed_until - $period from observed_period
),
figures as (
    select
        is_current,
        unnest(range(1, 11)) as position,
        unnest([
            count(*), count(distinct customer_id), fcr(is_first_contact_resolved), rate(is_repeat), rate(is_resolved),
            rate(transfer_count > 0), abandonment_rate(is_abandoned) filter (where is_offered),
            service_level(wait_s, is_abandoned, $threshold_s) filter (where is_offered),
            avg(wait_s) filter (where is_offered and is_answered),
            aht(talk_s, hold_s, wrap_s) filter (where is_answered)
        ]) as value,
        unnest([
            count(*), count(customer_id), count(is_first_contact_resolved), count(is_repeat), count(is_resolved),
            count(transfer_count), count(is_abandoned) filter (where is_offered),
            count(*) filter (where is_offered and (is_abandoned or not is_abandoned and wait_s is not null)),
            count(wait_s) filter (where is_offered and is_answered), count(handle_s)
        ]) as known_count
    from contacts
    group by is_current
    union all
    select
        is_current,
        case kind when 'nps' then 11 when 'csat' then 12 when 'ces' then 13 end,
        case kind when 'nps' then nps(score) when 'csat' then csat(score) when 'ces' then avg(score) end,
        count(score)
    from answers
    where kind in ('nps', 'csat', 'ces')
    group by is_current, kind
    union all
    select
        is_current, 14,
        case when count(closed_at) > 0 then count(*) filter (where coalesce(closed_at > ends_at, true)) end, count(*)
    from ends cross join contacts_clean
    where started_at <= ends_at
    group by is_current
),
compared as (
    select
        position,
        max(value) filter (where is_current) as value,
        max(value) filter (where not is_current) as previous_value,
        max(known_count) filter (where is_current) as known_count
    from figures
    group by position
),
with_spread as (
    select
        kpis.position, kpi, unit, value, previous_value, known_count,
        case when unit = 'ratio' then 1.96 * sqrt(known_count * value * (1 - value) + 0.9604) end as spread
    from kpis left join compared on compared.position = kpis.position
)
select
    kpi, unit, value, previous_value, value - previous_value as difference, known_count,
    (known_count * value + 1.9208 - spread) / (known_count + 3.8416) as value_low,
    (known_count * value + 1.9208 + spread) / (known_count + 3.8416) as value_high
from with_spread
order by position;

-- notes: first-contact resolution of a short period
select 'first-contact resolution of the newest period is not known: the 7 days of its contacts have not elapsed; a longer '
    || 'period has it'
from observed_period
where observed_until - $period >= observed_until - interval '7 days'
