-- title: KPI overview
-- description: The main figures of the newest period beside the period before it.
-- The newest period ends before until, by default with the newest contact. A period that the data do not cover has no
-- figures, they and their differences are NULL. Ratios carry their Wilson interval of 95 %. FCR counts first contacts
-- whose 7 days have elapsed, so it rests on the older part of the newest period. Open contacts are counted at its end.
-- grain: one row per figure
-- param: period interval > 0 = 28 days    # length of each of the two periods
-- param: until timestamp = null           # end of the newest period, exclusive; null is the end of the data
-- param: threshold_s float >= 0 = 20      # service level counts contacts answered within this many seconds
-- chart: figure x=kpi value=value previous=previous_value low=value_low high=value_high unit=unit
-- check: value between value_low - 1e-9 and value_high + 1e-9
-- check: case unit when 'ratio' then value between 0 and 1 when 'count' then value >= 0 end
-- alert: min(value) filter (where kpi = 'service level') < 0.7
-- alert: min(value) filter (where kpi = 'abandonment rate') > 0.1
with ends as (
    select
        covered_from,
        covered_until,
        coalesce($until, observed_until)
            + case when $until is null then interval '1 microsecond' else interval '0 microseconds' end as ends_at,
        -- the last day of the data counts as whole
        coalesce($until, date_trunc('day', observed_until) + interval '1 day') as ends_on
    from observed_period cross join covered_period
),
periods as (
    select
        ends_at,
        ends_at - $period as newest_from,
        ends_at - $period - $period as previous_from,
        ends_at > covered_from and ends_at - $period < least(covered_until, ends_at) as has_newest,
        ends_on - $period - $period >= covered_from and ends_on - $period <= covered_until as has_previous,
        ends_on - $period >= covered_from and ends_on <= covered_until as is_newest_whole
    from ends
),
-- what became of a contact, as in contact_outcomes, depends on those of 7 days before and after it
near as (
    select *
    from contacts_clean
    where
        started_at >= (select previous_from - interval '7 days' from periods)
        and started_at < (select ends_at + interval '7 days' from periods)
),
followed as (
    select
        near.*,
        previous_from,
        newest_from,
        ends_at,
        is_repeat_contact(started_at, interval '7 days', observed_from) over same_matter as is_repeated,
        first_contact_resolved(started_at, interval '7 days', observed_until, observed_from)
            over same_matter as is_resolved_first
    from observed_period cross join periods cross join near
    window same_matter as (partition by is_fcr_eligible, customer_id, topic order by started_at, interaction_id)
),
contacts as (
    select
        *,
        started_at >= newest_from as is_current,
        case when is_fcr_eligible then is_repeated end as is_repeat,
        case when is_fcr_eligible then is_resolved_first end as is_first_contact_resolved
    from followed
    where started_at >= previous_from and started_at < ends_at
),
answers as (
    select surveys_clean.*, responded_at >= newest_from as is_current
    from periods cross join surveys_clean
    where responded_at >= previous_from and responded_at < ends_at
),
sides as (
    select true as is_current, ends_at, has_newest as is_covered from periods
    union all select false, newest_from, has_previous from periods
),
-- open contacts at the ends of both periods
backlog as (
    select
        unnest([true, false]) as is_current,
        unnest([
            count(closed_at) filter (where started_at < ends_at),
            count(closed_at) filter (where started_at < newest_from)
        ]) as closed_count,
        unnest([
            count(*) filter (where started_at < ends_at and coalesce(closed_at >= ends_at, true)),
            count(*) filter (where started_at < newest_from and coalesce(closed_at >= newest_from, true))
        ]) as open_count,
        unnest([
            count(*) filter (where started_at < ends_at), count(*) filter (where started_at < newest_from)
        ]) as known_count
    from (
        select
            started_at,
            closed_at,
            (select ends_at from periods) as ends_at,
            (select newest_from from periods) as newest_from
        from contacts_clean
    ) as history
),
figures as (
    select
        is_current,
        unnest(range(1, 11)) as position,
        unnest([
            count(*), count(distinct customer_id), fcr(is_first_contact_resolved), repeat_rate(is_repeat),
            rate(is_resolved), transfer_rate(transfer_count), abandonment_rate(is_abandoned) filter (where is_offered),
            service_level(wait_s, is_abandoned, $threshold_s) filter (where is_offered),
            asa(wait_s) filter (where is_offered and is_answered),
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
        case kind when 'nps' then nps(score) when 'csat' then csat(score) when 'ces' then ces_mean(score) end,
        count(score)
    from answers
    where kind in ('nps', 'csat', 'ces')
    group by is_current, kind
    union all
    select is_current, 14, case when closed_count > 0 then open_count end, known_count from backlog where known_count > 0
    union all
    -- a covered period without contacts has none
    select is_current, unnest([1, 2]), 0, 0 from sides
),
compared as (
    select
        position,
        max(value) filter (where figures.is_current and is_covered) as value,
        max(value) filter (where not figures.is_current and is_covered) as previous_value,
        max(known_count) filter (where figures.is_current and is_covered) as known_count
    from figures inner join sides on sides.is_current = figures.is_current
    group by position
),
with_ci as (
    select
        kpis.position, kpi, unit, value, known_count,
        -- contacts of a part of a period do not compare with those of a whole one
        case when is_newest_whole or kpis.position > 2 then previous_value end as previous_value,
        case when unit = 'ratio' then proportion_ci_of(round(known_count * value), known_count) end as value_ci
    from periods cross join kpis left join compared on compared.position = kpis.position
)
select
    kpi,
    unit,
    value,
    previous_value,
    value - previous_value as difference,
    known_count,
    value_ci['low'] as value_low,
    value_ci['high'] as value_high
from with_ci
order by position;

-- notes: first-contact resolution of a short period
select 'first-contact resolution of the newest period is not known: the 7 days of its contacts have not elapsed; a longer '
    || 'period has it'
from observed_period
where observed_until - $period >= observed_until - interval '7 days';

-- notes: periods that the data do not cover
with ends as (
    select
        covered_from,
        covered_until,
        coalesce($until, observed_until)
            + case when $until is null then interval '1 microsecond' else interval '0 microseconds' end as ends_at,
        -- the last day of the data counts as whole
        coalesce($until, date_trunc('day', observed_until) + interval '1 day') as ends_on
    from observed_period cross join covered_period
),
periods as (
    select
        covered_from,
        covered_until,
        cast(ends_at - $period as date) || ' to before ' || cast(ends_at as date) as newest,
        cast(ends_at - $period - $period as date) || ' to before ' || cast(ends_at - $period as date) as previous,
        ends_at > covered_from and ends_at - $period < least(covered_until, ends_at) as has_newest,
        ends_on - $period - $period >= covered_from and ends_on - $period <= covered_until as has_previous,
        ends_on - $period >= covered_from and ends_on <= covered_until as is_newest_whole
    from ends
)
select
    'the data cover ' || cast(covered_from as date) || ' to before ' || cast(covered_until as date) || case
        when not has_newest then ': nothing of the newest period, ' || newest || ', and it has no figures'
        when not is_newest_whole then ': a part of the newest period, ' || newest
        else ': not all of the period before, ' || previous || ', and nothing is compared with it'
    end
from periods
where not has_newest or not is_newest_whole or not has_previous
