-- title: Impossible values
-- description: Values that cannot be.
-- Durations below zero, ends before starts, times in the future, starts far before all others (see observed_period), scores
-- off their scale or between its numbers, talk time on abandoned contacts.
-- grain: one row per table, column and check
-- check: affected_count between 0 and checked_count
with contacts as (
    select
        unnest([
            'wait_s', 'talk_s', 'hold_s', 'wrap_s', 'ended_at', 'started_at', 'started_at', 'talk_s'
        ]) as column_name,
        unnest([
            'below zero', 'below zero', 'below zero', 'below zero', 'ended before started', 'in the future',
            'far before all others', 'talk on an abandoned contact'
        ]) as check_name,
        unnest([
            count(*) filter (where wait_s < 0), count(*) filter (where talk_s < 0), count(*) filter (where hold_s < 0),
            count(*) filter (where wrap_s < 0), count(*) filter (where ended_at < started_at),
            count(*) filter (where started_at > now()), count(*) filter (where started_at < observed_from),
            count(*) filter (where is_abandoned and talk_s > 0)
        ]) as affected_count,
        unnest([
            count(wait_s), count(talk_s), count(hold_s), count(wrap_s), count(ended_at), count(started_at),
            count(started_at), count(*) filter (where is_abandoned)
        ]) as checked_count
    from interactions cross join observed_period
),
kinds as (
    select column1 as kind, column2 as lowest, column3 as highest
    from (values ('nps', 0, 10), ('csat', 1, 5), ('ces', 1, 7)) as scales
),
answers as (
    select
        kinds.kind || ' score off the scale' as check_name,
        count(*) filter (where score not between lowest and highest or score <> floor(score)) as affected_count,
        count(score) as checked_count
    from kinds
    left join surveys on lower(trim(surveys.kind)) = kinds.kind
    group by kinds.kind
),
unknown_kinds as (
    select
        count(*) filter (where lower(trim(kind)) not in ('nps', 'csat', 'ces')) as affected_count,
        count(kind) as checked_count
    from surveys
),
people as (
    select
        count(*) filter (where churned_at < signed_up_at) as left_early_count,
        count(churned_at) as left_count,
        count(*) filter (where cast(birth_date as timestamp) > signed_up_at) as unborn_count,
        count(birth_date) as born_count
    from customers
)
select 'interactions' as table_name, column_name, check_name, affected_count, checked_count from contacts
union all
select 'surveys', 'score', check_name, affected_count, checked_count from answers
union all
select 'surveys', 'kind', 'unknown kind', affected_count, checked_count from unknown_kinds
union all
select 'customers', 'churned_at', 'left before signed up', left_early_count, left_count from people
union all
select 'customers', 'birth_date', 'born after signed up', unborn_count, born_count from people
