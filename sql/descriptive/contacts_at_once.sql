-- title: Contacts at once
-- description: How many contacts on live channels are under way at the same time, by channel and half hour of the day.
-- A contact is under way from its start to its end, waiting included: so many lines or seats are in use. most_at_once
-- is the largest number at any moment of any day, mean_at_once the mean over the days that the data cover, in erlangs.
-- A contact is split at every half hour and at since and until. One without an end or with an impossible one is left out.
-- grain: one row per channel and half hour of the day
-- param: since timestamp = 1970-01-01     # from this time on
-- param: until timestamp = 2200-01-01     # up to this time
-- chart: line x=half_hour y=most_at_once series=channel
-- check: most_at_once >= 1
-- check: mean_at_once between 0 and most_at_once
with contacts as (
    select
        channel,
        unnest(split_interval(started_at, ended_at, interval '30 minutes', null, $since, $until)) as piece
    from contacts_clean
    where is_live and ended_at > started_at and started_at < $until and ended_at > $since
),
pieces as (
    select
        channel,
        piece['start'] as piece_start,
        piece['end'] as piece_end,
        piece['duration_s'] as duration_s,
        date_bin(interval '30 minutes', piece['start']) as half_hour_at
    from contacts
),
by_half_hour as (
    select
        channel,
        half_hour_at,
        max_concurrent(piece_start, piece_end) as at_once,
        count(*) as contact_count,
        sum(duration_s) as duration_s
    from pieces
    group by channel, half_hour_at
),
days as (
    select date_part('epoch', least(covered_until, $until) - greatest(covered_from, $since)) / 86400 as day_count
    from covered_period
)
select
    channel,
    lpad(cast(cast(date_part('hour', half_hour_at) as int) as varchar), 2, '0')
        || case when date_part('minute', half_hour_at) < 30 then ':00' else ':30' end as half_hour,
    max(at_once) as most_at_once,
    sum(duration_s) / 1800 / greatest(max(day_count), count(*)) as mean_at_once,
    sum(contact_count) as contact_count
from by_half_hour cross join days
group by channel, half_hour
order by channel, half_hour;

-- notes: contacts that cannot be measured
with figures as (
    select
        count(*) as live_count,
        count(*) filter (where ended_at is null) as open_count,
        count(*) filter (where ended_at <= started_at) as empty_count
    from contacts_clean
    where is_live and started_at < $until and coalesce(ended_at > $since, true)
)
select unnest([
    case when open_count > 0 then
        open_count || ' of ' || live_count || ' contacts on live channels have no end: left out'
    end,
    case when empty_count > 0 then
        empty_count || ' of ' || live_count || ' contacts on live channels end at their start: left out'
    end
])
from figures
