-- title: When the figures changed
-- description: Weeks in which the level of a figure changed, from what to what, and whether it rises or falls.
-- The whole weeks of each figure (see kpi_weeks) are split where its mean changed, as changepoints does it. p_value is
-- that of the difference, times the number of weeks at which a change was looked for; p_adjusted also counts the
-- changes of all other figures (Holm). A change says when, not why: look for what began in that week. A figure that
-- drifts has several changes; the second section has its trend per week (Mann and Kendall, slope of Sen).
-- grain: one row per figure and change, then one per figure, then one per figure and week
-- param: since date = 1970-01-01          # first week
-- param: until date = 2200-01-01          # weeks before this day
-- param: min_known_count integer >= 1 = 5 # weeks in which a figure rests on fewer contacts or answers are left out
-- param: kpi text like kpis.kpi = average handle time  # what the last section shows
-- section: Changes
-- check: last_week < since_week
-- check: p_adjusted between 0 and 1
-- alert: count(*) filter (where p_adjusted < 0.01) > 0
with weeks as (
    select *
    from kpi_weeks
    where not is_partial and value is not null and week >= $since and week < $until
        and (known_count >= $min_known_count or unit = 'count')
),
changes as (
    select position, kpi, unit, unnest(changepoints(week, value)['changes']) as change
    from weeks
    group by position, kpi, unit
)
select
    kpi,
    unit,
    change['at'] as last_week,
    change['next_at'] as since_week,
    change['before'] as before_value,
    change['after'] as after_value,
    change['after'] - change['before'] as difference,
    change['p_value'] as p_value,
    p_adjust(change['p_value']) over () as p_adjusted
from changes
order by position, since_week;

-- section: Trends
-- check: change_per_week between low - 1e-9 and high + 1e-9
-- check: p_adjusted between 0 and 1
with weeks as (
    select *
    from kpi_weeks
    where not is_partial and value is not null and week >= $since and week < $until
        and (known_count >= $min_known_count or unit = 'count')
),
tested as (
    select position, kpi, unit, trend_test(week, value) as trend, changepoints(week, value) as changes
    from weeks
    group by position, kpi, unit
)
select
    kpi,
    unit,
    trend['n'] as week_count,
    case when changes['changes'] is not null then coalesce(array_length(changes['changes']), 0) end as change_count,
    7 * trend['estimate'] as change_per_week,
    7 * trend['low'] as low,
    7 * trend['high'] as high,
    trend['p_value'] as p_value,
    p_adjust(trend['p_value']) over () as p_adjusted,
    coalesce(trend['reason'], changes['reason']) as reason
from tested
order by position;

-- section: Weeks
-- chart: line x=week y=value,level
-- check: known_count >= 0
with weeks as (
    select *
    from kpi_weeks
    where not is_partial and value is not null and week >= $since and week < $until
        and (known_count >= $min_known_count or unit = 'count') and kpi like $kpi
),
changes as (
    select kpi, unnest(changepoints(week, value)['changes']) as change from weeks group by kpi
),
numbered as (
    select weeks.kpi, weeks.week, weeks.value, weeks.known_count, count(change['next_at']) as changes_before
    from weeks left join changes on changes.kpi = weeks.kpi and changes.change['next_at'] <= weeks.week
    group by weeks.kpi, weeks.week, weeks.value, weeks.known_count
)
select week, kpi, value, known_count, avg(value) over (partition by kpi, changes_before) as level
from numbered
order by kpi, week;

-- notes: figures with too few weeks
with weeks as (
    select kpi, count(*) as week_count
    from kpi_weeks
    where not is_partial and value is not null and week >= $since and week < $until
        and (known_count >= $min_known_count or unit = 'count')
    group by kpi
)
select count(*) || ' figures have fewer than 12 whole weeks: their changes are hardly more than chance'
from weeks
where week_count < 12
having count(*) > 0
