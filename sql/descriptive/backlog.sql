-- title: Backlog
-- description: Contacts opened, closed and still open at the end of each day or other step.
-- Steps without any contact have a row too. A contact is open from its start to its end; without an end it stays
-- open, unless it was abandoned, logged as resolved or has a handle time. open_count is NULL where the data knows no
-- ends at all. Contacts from before the data begins are not in it: while they are worked off, the true backlog is
-- higher.
-- grain: one row per step of the observed period
-- param: until timestamp = 2200-01-01       # what has happened before this time
-- param: step text in (day, week, month, quarter, year) = month  # length of a step
-- chart: line x=period y=open_count partial=is_partial
-- check: open_count >= 0
-- check: opened_count >= 0 and closed_count >= 0
with movements as (
    select date_trunc($step, started_at) as period_at, 1 as opened, 0 as closed
    from contacts_clean
    where started_at < $until
    union all
    select date_trunc($step, closed_at), 0, 1
    from contacts_clean
    where started_at is not null and closed_at < $until
    union all
    select date_trunc($step, unnest(generate_series(
        observed_from, least(observed_until, $until - interval '1 microsecond'), interval '1 day'
    ))), 0, 0
    from observed_period
),
by_period as (
    select period_at, sum(opened) as opened_count, sum(closed) as closed_count
    from movements
    group by period_at
),
running as (
    select
        *,
        sum(opened_count - closed_count) over (order by period_at) as open_count,
        sum(closed_count) over () as all_closed_count
    from by_period
),
steps as (
    select
        *,
        period_at + case $step
            when 'day' then interval '1 day' when 'week' then interval '7 days'
            when 'quarter' then interval '3 months' when 'year' then interval '12 months' else interval '1 month'
        end as next_at
    from running
)
select
    cast(period_at as date) as period,
    opened_count,
    closed_count,
    opened_count - closed_count as change_count,
    case when all_closed_count > 0 then open_count end as open_count,
    period_at < covered_from or next_at > least(covered_until, $until) as is_partial
from steps cross join covered_period
order by period_at;

-- notes: a period that the data do not cover
select note from reports.period_coverage(until => $until)
