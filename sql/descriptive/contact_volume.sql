-- title: Contact volume
-- description: Contacts per day with the mean of 7 days, per week, and per hour of the week.
-- Every day of the observed period has a row; the mean of 7 days begins with the seventh. Weekdays run from 1, Monday, to
-- 7, Sunday. Hours are UTC. The data covers some hours of the week more often than others: covered_count says how
-- often, mean_contact_count is the mean of these times.
-- grain: one row per day, then one per week, then one per weekday and hour
-- param: topic text = %                   # a topic, or a pattern of LIKE
-- section: By day
-- chart: line x=day y=contact_count,mean_7_days
-- check: contact_count >= 0
-- check: customer_count <= contact_count
with days as (
    select cast(unnest(generate_series(
        date_trunc('day', observed_from), date_trunc('day', observed_until), interval '1 day'
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
    where coalesce(topic, '') like $topic
    group by cast(started_at as date)
)
select
    days.day,
    coalesce(contact_count, 0) as contact_count,
    coalesce(customer_count, 0) as customer_count,
    workload_h,
    case when count(*) over week = 7 then avg(coalesce(contact_count, 0)) over week end as mean_7_days
from days
left join by_day on by_day.day = days.day
window week as (order by days.day rows between 6 preceding and current row)
order by days.day;

-- section: By week
-- chart: bar x=week y=contact_count
-- check: inbound_count <= contact_count
with contacts as (
    select cast(date_trunc('week', started_at) as date) as week, customer_id, is_inbound, handle_s
    from contacts_clean
    where started_at is not null and coalesce(topic, '') like $topic
)
select
    week,
    count(*) as contact_count,
    count(*) filter (where is_inbound) as inbound_count,
    count(distinct customer_id) as customer_count,
    sum(handle_s) / 3600.0 as workload_h
from contacts
group by week
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
    where started_at is not null and coalesce(topic, '') like $topic
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
