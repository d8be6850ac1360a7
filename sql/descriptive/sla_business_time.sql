-- title: Replies in business time
-- description: How long customers wait in writing for a reply and a solution, by opening hours, and how often in time.
-- Contacts on channels on which nobody holds the line (mail, web, social). The first reply comes wait_s after the start, the
-- solution is the end. Business time counts the opening hours of the calendar alone: a mail of Friday evening that is
-- answered on Monday at 9:30 has waited half an hour. A time that the calendar does not cover has no figure and is left out.
-- grain: one row per channel and queue, then one per week and channel
-- param: since timestamp = 1970-01-01            # first contact start
-- param: until timestamp = 2200-01-01            # contacts before this time
-- param: calendar text = de                      # cn, de, or a calendar of cxql.toml
-- param: reply_target_s float >= 0 = 14400       # opening seconds until the first reply
-- param: resolution_target_s float >= 0 = 57600  # opening seconds until the end
-- section: By channel and queue
-- chart: bar x=queue y=reply_in_time_ratio series=channel format=percent
-- check: reply_in_time_ratio between reply_in_time_low_ratio - 1e-9 and reply_in_time_high_ratio + 1e-9
-- check: resolution_in_time_ratio between 0 and 1
-- check: first_reply_business_median_s <= first_reply_median_s
-- check: full_resolution_business_median_s <= full_resolution_median_s
with contacts as (
    select channel, queue, started_at, ended_at, cast(wait_s as double) as wait_s
    from contacts_clean
    where is_inbound and not is_live and started_at >= $since and started_at < $until
),
times as (
    select
        channel,
        queue,
        wait_s as first_reply_s,
        business_s(started_at, started_at + wait_s * interval '1 second', $calendar) as first_reply_business_s,
        date_part('epoch', ended_at - started_at) as full_resolution_s,
        business_s(started_at, ended_at, $calendar) as full_resolution_business_s
    from contacts
),
by_queue as (
    select
        channel,
        queue,
        count(*) as contact_count,
        count(first_reply_business_s) as replied_count,
        median(first_reply_s) as first_reply_median_s,
        median(first_reply_business_s) as first_reply_business_median_s,
        percentile_cont(0.9) within group (order by first_reply_business_s) as first_reply_business_p90_s,
        proportion_ci(first_reply_business_s <= $reply_target_s) as reply_in_time,
        count(full_resolution_business_s) as resolved_count,
        median(full_resolution_s) as full_resolution_median_s,
        median(full_resolution_business_s) as full_resolution_business_median_s,
        rate(full_resolution_business_s <= $resolution_target_s) as resolution_in_time_ratio
    from times
    group by channel, queue
)
select
    * exclude (reply_in_time),
    reply_in_time['estimate'] as reply_in_time_ratio,
    reply_in_time['low'] as reply_in_time_low_ratio,
    reply_in_time['high'] as reply_in_time_high_ratio
from by_queue
order by channel, queue;

-- section: By week and channel
-- chart: line x=week y=reply_in_time_ratio series=channel partial=is_partial base=replied_count format=percent
-- check: reply_in_time_ratio between 0 and 1
with contacts as (
    select channel, cast(date_trunc('week', started_at) as date) as week, started_at, cast(wait_s as double) as wait_s
    from contacts_clean
    where is_inbound and not is_live and started_at >= $since and started_at < $until
),
times as (
    select
        week,
        channel,
        business_s(started_at, started_at + wait_s * interval '1 second', $calendar) as first_reply_business_s
    from contacts
),
by_week as (
    select
        week,
        channel,
        count(first_reply_business_s) as replied_count,
        median(first_reply_business_s) as first_reply_business_median_s,
        rate(first_reply_business_s <= $reply_target_s) as reply_in_time_ratio
    from times
    group by week, channel
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from covered_period
)
select by_week.*, week < covered_from or week + interval '1 week' > covered_until as is_partial
from by_week cross join bounds
order by week, channel;

-- notes: contacts without a reply, and times that the calendar does not cover
with contacts as (
    select started_at, ended_at, wait_s, business_s(started_at, started_at, $calendar) as at_start
    from contacts_clean
    where is_inbound and not is_live and started_at >= $since and started_at < $until
),
figures as (
    select
        count(*) as contact_count,
        count(*) filter (where at_start is null) as uncovered_count,
        count(*) filter (where wait_s is null) as without_wait_count,
        count(*) filter (where ended_at is null) as without_end_count
    from contacts
)
select unnest([
    case when uncovered_count > 0 then
        uncovered_count || ' of ' || contact_count || ' contacts are left out: the calendar ' || $calendar
        || ' does not cover their start'
    end,
    case when without_wait_count > 0 then
        without_wait_count || ' of ' || contact_count || ' contacts are left out of the first reply: they have no wait'
    end,
    case when without_end_count > 0 then
        without_end_count || ' of ' || contact_count || ' contacts are left out of the resolution: they have no end'
    end
])
from figures
