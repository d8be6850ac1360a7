-- title: The figures by week
-- description: Main figures of each week, with the number of contacts or answers that each rests on.
-- position, kpi and unit are those of kpis. A week begins on Monday; is_partial: the data do not cover all of it.
-- First-contact resolution and the repeat rate are those of 7 days, so the newest week has no resolution yet. Service
-- level counts contacts answered within 20 seconds.
-- grain: one row per week and figure
-- check: known_count >= 0
-- check: case unit when 'ratio' then value between 0 and 1 when 'count' then value >= 0 end
with figures as (
    select
        date_trunc('week', started_at) as week_at,
        unnest([1, 3, 4, 6, 7, 8, 9, 10]) as position,
        unnest([
            cast(count(*) as double), fcr(is_first_contact_resolved), rate(is_repeat), rate(transfer_count > 0),
            abandonment_rate(is_abandoned) filter (where is_offered),
            service_level(wait_s, is_abandoned, 20) filter (where is_offered),
            avg(wait_s) filter (where is_offered and is_answered),
            aht(talk_s, hold_s, wrap_s) filter (where is_answered)
        ]) as value,
        unnest([
            count(*), count(is_first_contact_resolved), count(is_repeat), count(transfer_count),
            count(is_abandoned) filter (where is_offered),
            count(*) filter (where is_offered and (is_abandoned or not is_abandoned and wait_s is not null)),
            count(wait_s) filter (where is_offered and is_answered), count(handle_s)
        ]) as known_count
    from contact_outcomes
    where started_at is not null
    group by week_at
    union all
    select
        date_trunc('week', responded_at) as week_at,
        case kind when 'nps' then 11 when 'csat' then 12 else 13 end,
        case kind when 'nps' then nps(score) when 'csat' then csat(score) else avg(score) end,
        count(score)
    from surveys_clean
    where kind in ('nps', 'csat', 'ces') and responded_at is not null
    group by week_at, kind
)
select
    cast(week_at as date) as week,
    kpis.position,
    kpi,
    unit,
    value,
    known_count,
    week_at < covered_from or week_at + interval '7 days' > covered_until as is_partial
from figures inner join kpis on kpis.position = figures.position cross join covered_period
