-- title: Contact volume
-- description: Contacts per day with the mean of 7 days, per week, and per hour of the week.
-- Every day of the observed period has a row; mean_7_days is NULL until 7 days are known. Weekdays run from 1, Monday, to
-- 7, Sunday. Hours are those of time_zone, by default UTC. The data covers some hours of the week more often than
-- others: covered_count says how often, mean_contact_count is the mean of these times.
-- grain: one row per day, then one per week, then one per weekday and hour
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: topic text like contacts_clean.topic = %  # a topic, or a pattern of LIKE
-- section: By day
-- chart: line x=day y=contact_count,mean_7_days partial=is_partial
-- check: contact_count >= 0
-- check: customer_count <= contact_count
with days as (
    select cast(unnest(generate_series(
        date_trunc('day', observed_from),
        date_trunc('day', least(observed_until, $until - interval '1 microsecond')),
        interval '1 day'
    )) as date) as day
    from observed_period
),
by_day as (
    select
        cast(started_at as date) as day,
        count(*) as contact_count,
        count(distinct customer_id) as customer_count,
        sum(handle_s) / 3600.0 as workload_h
    from contacts_clean
    where coalesce(topic, '') like $topic and started_at < $until
    group by cast(started_at as date)
),
smoothed as (
    select
        days.day,
        coalesce(contact_count, 0) as contact_count,
        coalesce(customer_count, 0) as customer_count,
        workload_h,
        count(*) over last_7_days as day_count,
        avg(coalesce(contact_count, 0)) over last_7_days as mean_7_days
    from days
    left join by_day on by_day.day = days.day
    window last_7_days as (order by days.day rows between 6 preceding and current row)
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from covered_period
)
select
    day,
    contact_count,
    customer_count,
    workload_h,
    case when day_count = 7 then mean_7_days end as mean_7_days,
    day < covered_from or day + interval '1 day' > covered_until as is_partial
from smoothed cross join bounds
where day >= date_trunc('day', $since)
order by day;

-- section: By week
-- chart: bar x=week y=contact_count partial=is_partial
-- check: inbound_count <= contact_count
with contacts as (
    select cast(date_trunc('week', started_at) as date) as week, customer_id, is_inbound, handle_s
    from contacts_clean
    where coalesce(topic, '') like $topic and started_at >= $since and started_at < $until
),
by_week as (
    select
        week,
        count(*) as contact_count,
        count(*) filter (where is_inbound) as inbound_count,
        count(distinct customer_id) as customer_count,
        sum(handle_s) / 3600.0 as workload_h
    from contacts
    group by week
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from covered_period
)
select
    week,
    contact_count,
    inbound_count,
    customer_count,
    workload_h,
    week < covered_from or week + interval '1 week' > covered_until as is_partial
from by_week cross join bounds
order by week;

-- section: By hour of the week
-- chart: heatmap x=hour y=weekday value=mean_contact_count
-- check: weekday between 1 and 7 and hour between 0 and 23
-- check: covered_count > 0
with hours as (
    select unnest(generate_series(
        date_trunc('hour', observed_from), date_trunc('hour', observed_until), interval '1 hour'
    )) as hour_at
    from observed_period
),
covered as (
    select
        (cast(date_part('dow', hour_at) as int) + 6) % 7 + 1 as weekday,
        cast(date_part('hour', hour_at) as int) as hour,
        count(*) as covered_count
    from hours
    group by 1, 2
),
contacts as (
    select
        (cast(date_part('dow', started_at) as int) + 6) % 7 + 1 as weekday,
        cast(date_part('hour', started_at) as int) as hour
    from contacts_clean
    where coalesce(topic, '') like $topic and started_at >= $since and started_at < $until
)
select
    contacts.weekday,
    contacts.hour,
    count(*) as contact_count,
    max(covered_count) as covered_count,
    count(*) / cast(max(covered_count) as double) as mean_contact_count
from contacts
inner join covered on covered.weekday = contacts.weekday and covered.hour = contacts.hour
group by contacts.weekday, contacts.hour
order by contacts.weekday, contacts.hour
