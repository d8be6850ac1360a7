-- read: ../../views/duckdb.sql
-- clock
with by_topic as (
    select
        topic,
        count(*) as contact_count,
        count(is_repeat) as known_count,
        count(*) filter (is_repeat) as repeat_count,
        rate(is_repeat) as repeat_ratio,
        sum(handle_s) filter (is_repeat) / 3600 as repeat_handle_h
    from contact_outcomes
    where is_fcr_eligible
        and started_at >= timestamptz '1970-01-01 00:00:00+00' and started_at < timestamptz '2200-01-01 00:00:00+00'
    group by topic
),
with_spread as (
    select *, 1.96 * sqrt(repeat_count * (1 - repeat_ratio) + 0.9604) as spread from by_topic
)
select
    topic,
    contact_count,
    known_count,
    repeat_count,
    repeat_ratio,
    (repeat_count + 1.9208 - spread) / (known_count + 3.8416) as repeat_low_ratio,
    (repeat_count + 1.9208 + spread) / (known_count + 3.8416) as repeat_high_ratio,
    repeat_handle_h
from with_spread
order by repeat_count desc, topic;

select
    (epoch_us(started_at) - epoch_us(previous_contact_at)) // days(1) as days_since_previous,
    count(*) as repeat_count,
    count(*) / sum(count(*)) over () as repeat_share_ratio
from contact_outcomes
where is_repeat
    and started_at >= timestamptz '1970-01-01 00:00:00+00' and started_at < timestamptz '2200-01-01 00:00:00+00'
group by days_since_previous
order by days_since_previous;

select
    customer_id,
    count(*) filter (is_repeat) as repeat_count,
    count(*) as contact_count,
    count(distinct topic) filter (is_repeat) as repeated_topic_count,
    max(started_at) as last_contact_at
from contact_outcomes
where is_fcr_eligible
    and started_at >= timestamptz '1970-01-01 00:00:00+00' and started_at < timestamptz '2200-01-01 00:00:00+00'
group by customer_id
having repeat_count > 0
order by repeat_count desc, contact_count desc, customer_id
limit 20
