-- ours: opening hours in Germany from each contact to 75 hours later
select sum(business_s(started_at, started_at + interval '75 hours', 'de')) as value from interactions;

-- built-in: by hand for the year of the sample data, a row per contact and day
select sum(greatest(date_part('epoch', least(ended_at, close_at) - greatest(started_at, open_at)), 0)) as value
from (
    select
        queue,
        customer_id,
        started_at,
        ended_at,
        (day + interval '9 hours') at time zone 'Europe/Berlin' as open_at,
        (day + interval '17 hours') at time zone 'Europe/Berlin' as close_at
    from (
        select
            *,
            unnest(range(
                cast(started_at at time zone 'Europe/Berlin' as date),
                cast(ended_at at time zone 'Europe/Berlin' as date) + 1,
                interval '1 day'
            )) as day
        from (select queue, customer_id, started_at, started_at + interval '75 hours' as ended_at from interactions)
    )
    where extract(dow from day) between 1 and 5
        and day not in (
            date '2025-01-01', date '2025-04-18', date '2025-04-21', date '2025-05-01', date '2025-05-29', date '2025-06-09',
            date '2025-10-03', date '2025-12-25', date '2025-12-26', date '2026-01-01'
        )
)
