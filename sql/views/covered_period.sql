-- title: Covered period
-- description: The days that the data cover whole, from the first contact's day to the day after the last contact's.
-- A weekday on which no contact ever starts, in data of two weeks and more, is closed and counts as covered beside an
-- open one: a week of a team that works from Monday to Friday is whole when it ends on a Friday. Reports mark periods
-- that reach beyond as is_partial, and compare no period with one that the data do not cover.
-- grain: one row
-- check: covered_from < covered_until
with span as (
    select date_trunc('day', observed_from) as first_day, date_trunc('day', observed_until) as last_day
    from observed_period
),
open_weekdays as (
    select distinct date_part('dow', started_at) as weekday
    from observed_period cross join interactions
    where started_at between observed_from and observed_until
),
earlier as (
    select unnest(generate_series(first_day - interval '7 days', first_day - interval '1 day', interval '1 day')) as day
    from span
),
later as (
    select unnest(generate_series(last_day + interval '1 day', last_day + interval '7 days', interval '1 day')) as day
    from span
),
nearest as (
    select
        (select max(day) from earlier where date_part('dow', day) in (select weekday from open_weekdays)) as open_before,
        (select min(day) from later where date_part('dow', day) in (select weekday from open_weekdays)) as open_after
)
select
    case when last_day >= first_day + interval '13 days' then open_before + interval '1 day' else first_day end
        as covered_from,
    case when last_day >= first_day + interval '13 days' then open_after else last_day + interval '1 day' end
        as covered_until
from span cross join nearest
