-- title: Repeat contacts
-- description: Who comes back within 7 days, with what, how soon and how often.
-- Contacts less than 7 days after the data begins are left out of known_count and of repeats: what they may repeat is
-- not in the data.
-- grain: one row per topic, then per day since the contact before, then per customer
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: max_rows integer >= 1 = 20       # how many customers to list
-- section: By topic
-- chart: bar x=topic y=repeat_ratio low=repeat_low_ratio high=repeat_high_ratio format=percent
-- check: repeat_ratio between 0 and 1
-- check: repeat_ratio between repeat_low_ratio - 1e-9 and repeat_high_ratio + 1e-9
with contacts as (
    select topic, is_repeat, handle_s
    from contact_outcomes
    where is_fcr_eligible and started_at >= $since and started_at < $until
),
by_topic as (
    select
        topic,
        count(*) as contact_count,
        count(is_repeat) as known_count,
        count(*) filter (where is_repeat) as repeat_count,
        rate(is_repeat) as repeat_ratio,
        proportion_ci(is_repeat) as repeat_ci,
        sum(handle_s) filter (where is_repeat) / 3600.0 as repeat_handle_h
    from contacts
    group by topic
)
select
    topic,
    contact_count,
    known_count,
    repeat_count,
    repeat_ratio,
    repeat_ci['low'] as repeat_low_ratio,
    repeat_ci['high'] as repeat_high_ratio,
    repeat_handle_h
from by_topic
order by repeat_count desc, topic;

-- section: Days since the contact before
-- chart: bar x=days_since_previous y=repeat_count
-- check: days_since_previous between 0 and 7
with repeats as (
    select floor(date_part('epoch', started_at - previous_contact_at) / 86400) as days_since_previous
    from contact_outcomes
    where is_repeat and started_at >= $since and started_at < $until
)
select
    cast(days_since_previous as int) as days_since_previous,
    count(*) as repeat_count,
    count(*) / sum(cast(count(*) as double)) over () as repeat_share_ratio
from repeats
group by days_since_previous
order by days_since_previous;

-- section: Customers who came back most
-- check: repeat_count > 0
with contacts as (
    select customer_id, topic, started_at, is_repeat
    from contact_outcomes
    where is_fcr_eligible and started_at >= $since and started_at < $until
)
select
    customer_id,
    count(*) filter (where is_repeat) as repeat_count,
    count(*) as contact_count,
    count(distinct topic) filter (where is_repeat) as repeated_topic_count,
    max(started_at) as last_contact_at
from contacts
group by customer_id
having count(*) filter (where is_repeat) > 0
order by repeat_count desc, contact_count desc, customer_id
limit $max_rows;

-- notes: contacts that first-contact resolution leaves out
with figures as (
    select
        count(*) as answered_count,
        count(*) filter (where not is_fcr_eligible) as left_out_count
    from contacts_clean
    where is_inbound and is_answered and started_at >= $since and started_at < $until
)
select
    left_out_count || ' of ' || answered_count || ' answered inbound contacts are left out: no customer or topic'
from figures
where left_out_count > 0;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
