-- read: ../../views/duckdb.sql
-- clock
create temp table outcomes as
select
    customer_id, started_at, closed_at, is_offered, is_answered, is_abandoned, is_resolved, transfer_count, wait_s, handle_s,
    is_repeat, is_first_contact_resolved
from contact_outcomes;

with ends as (
    select
        covered_from,
        covered_until,
        observed_until + interval '1 microsecond' as ends_at,
        -- the last day of the data counts as whole
        date_trunc('day', observed_until) + interval '1 day' as ends_on
    from observed_period cross join covered_period
),
periods as materialized (
    select
        ends_at,
        ends_at - interval '28 days' as newest_from,
        ends_at - interval '56 days' as previous_from,
        ends_at > covered_from and newest_from < least(covered_until, ends_at) as has_newest,
        ends_on - interval '56 days' >= covered_from and ends_on - interval '28 days' <= covered_until as has_previous,
        ends_on - interval '28 days' >= covered_from and ends_on <= covered_until as is_newest_whole
    from ends
),
contacts as (
    select outcomes.*, started_at >= newest_from as is_current
    from outcomes cross join periods
    where started_at >= previous_from and started_at < ends_at
),
answers as (
    select surveys_clean.*, responded_at >= newest_from as is_current
    from surveys_clean cross join periods
    where responded_at >= previous_from and responded_at < ends_at
),
sides as (
    select true as is_current, ends_at, has_newest as is_covered from periods
    union all
    select false, newest_from, has_previous from periods
),
totals as (
    select
        is_current,
        count(*) as contacts,
        count(distinct customer_id) as customers,
        count(customer_id) as customer_known,
        rate(is_first_contact_resolved) as resolution,
        count(is_first_contact_resolved) as resolution_known,
        rate(is_repeat) as repeats,
        count(is_repeat) as repeat_known,
        rate(is_resolved) as logged,
        count(is_resolved) as logged_known,
        rate(transfer_count > 0) as transfers,
        count(transfer_count) as transfer_known,
        avg(is_abandoned::int) filter (is_offered) as abandonment,
        count(is_abandoned) filter (is_offered) as abandonment_known,
        count(*) filter (is_offered and (is_abandoned or not is_abandoned and wait_s is not null)) as service_known,
        count(*) filter (is_offered and not is_abandoned and wait_s <= 20) / nullif(service_known, 0) as service,
        avg(wait_s) filter (is_offered and is_answered) as answer_s,
        count(wait_s) filter (is_offered and is_answered) as answer_known,
        avg(handle_s) as handle,
        count(handle_s) as handle_known
    from contacts
    group by is_current
),
figures as (
    select
        is_current,
        unnest(range(1, 11)) as position,
        unnest([
            contacts, customers, resolution, repeats, logged, transfers, abandonment, service, answer_s, handle
        ]::double[]) as value,
        unnest([
            contacts, customer_known, resolution_known, repeat_known, logged_known, transfer_known, abandonment_known,
            service_known, answer_known, handle_known
        ]) as known_count
    from totals
    union all
    select
        is_current,
        case kind when 'nps' then 11 when 'csat' then 12 when 'ces' then 13 end,
        case kind
            when 'nps' then 100 * avg(case when score >= 9 then 1 when score <= 6 then -1 when score < 9 then 0 end)
            when 'csat' then avg((score >= 4)::int)
            when 'ces' then avg(score)
        end,
        count(score)
    from answers
    where kind in ('nps', 'csat', 'ces')
    group by is_current, kind
    union all
    select
        is_current, 14,
        if(count(closed_at) > 0, count(*) filter (coalesce(closed_at >= ends_at, true)), null), count(*)
    from outcomes cross join sides
    where started_at < ends_at
    group by is_current
    union all
    -- a covered period without contacts has none
    select is_current, unnest([1, 2]), 0, 0 from sides
),
compared as (
    select
        position,
        max(value) filter (figures.is_current and is_covered) as value,
        max(value) filter (not figures.is_current and is_covered) as previous_value,
        max(known_count) filter (figures.is_current and is_covered) as known_count
    from figures inner join sides on sides.is_current = figures.is_current
    group by position
),
kpis (position, kpi, unit) as (
    values
        (1, 'contacts', 'count'),
        (2, 'customers', 'count'),
        (3, 'first-contact resolution', 'ratio'),
        (4, 'repeat rate', 'ratio'),
        (5, 'logged as resolved', 'ratio'),
        (6, 'transfer rate', 'ratio'),
        (7, 'abandonment rate', 'ratio'),
        (8, 'service level', 'ratio'),
        (9, 'average speed of answer', 'seconds'),
        (10, 'average handle time', 'seconds'),
        (11, 'net promoter score', 'points'),
        (12, 'customer satisfaction', 'ratio'),
        (13, 'customer effort', 'score'),
        (14, 'open contacts', 'count')
),
with_spread as (
    select
        kpis.position, kpi, unit, value, known_count,
        -- contacts of a part of a period do not compare with those of a whole one
        if(is_newest_whole or kpis.position > 2, previous_value, null) as previous_value,
        if(unit = 'ratio', 1.96 * sqrt(known_count * value * (1 - value) + 0.9604), null) as spread
    from periods cross join kpis left join compared on compared.position = kpis.position
)
select
    kpi, unit, value, previous_value, value - previous_value as difference, known_count,
    (known_count * value + 1.9208 - spread) / (known_count + 3.8416) as value_low,
    (known_count * value + 1.9208 + spread) / (known_count + 3.8416) as value_high
from with_spread
order by position
