-- title: Average handle time by queue
-- description: Mean handle time per queue and channel with its parts, then by month.
-- grain: one row per queue and channel, then one per month and queue
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- section: By queue and channel
-- chart: bar x=queue y=aht_s series=channel format=duration
-- check: aht_s >= 0
-- check: median_s <= p90_s
with contacts as (
    select queue, channel, talk_s, hold_s, wrap_s, handle_s
    from contacts_clean
    where handle_s is not null and started_at >= $since and started_at < $until
)
select
    queue,
    channel,
    count(*) as contact_count,
    aht(talk_s, hold_s, wrap_s) as aht_s,
    1.96 * stddev(handle_s) / sqrt(count(*)) as aht_margin_s,
    percentile_cont(0.5) within group (order by cast(handle_s as double)) as median_s,
    percentile_cont(0.9) within group (order by cast(handle_s as double)) as p90_s,
    avg(talk_s) as talk_mean_s,
    avg(hold_s) as hold_mean_s,
    avg(wrap_s) as wrap_mean_s,
    sum(handle_s) / 3600.0 as workload_h
from contacts
group by queue, channel
order by workload_h desc, queue, channel;

-- section: By month and queue
-- chart: line x=month y=aht_s series=queue partial=is_partial format=duration
-- check: aht_s >= 0
with contacts as (
    select
        cast(date_trunc('month', started_at) as date) as month,
        queue,
        talk_s,
        hold_s,
        wrap_s,
        handle_s
    from contacts_clean
    where handle_s is not null and started_at >= $since and started_at < $until
),
by_month as (
    select
        month,
        queue,
        count(*) as contact_count,
        aht(talk_s, hold_s, wrap_s) as aht_s,
        sum(handle_s) / 3600.0 as workload_h
    from contacts
    group by month, queue
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from covered_period
)
select
    month,
    queue,
    contact_count,
    aht_s,
    workload_h,
    month < covered_from or month + interval '1 month' > covered_until as is_partial
from by_month cross join bounds
order by month, queue;

-- notes: contacts without a handle time
with figures as (
    select count(*) as answered_count, count(*) - count(handle_s) as without_count
    from contacts_clean
    where is_answered and started_at >= $since and started_at < $until
)
select without_count || ' of ' || answered_count || ' answered contacts have no talk, hold or wrap-up time: left out'
from figures
where without_count > 0;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
