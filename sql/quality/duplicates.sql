-- title: Duplicate contacts
-- description: Contacts that the data holds more than once, and contacts that look like one booked twice.
-- The clean view keeps the latest version of a repeated key, and rows that differ from it in both start and agent;
-- contact_count is how many it keeps. Contacts of one customer on one topic and channel that start within the same
-- minute under different keys are shown, not removed.
-- grain: one row per key, then one per pair
-- param: max_rows integer >= 1 = 50       # how many of each to list
-- section: Same key
-- check: row_count > 1
-- check: version_count between 1 and row_count
-- check: contact_count between 1 and version_count
with versions as (
    select interaction_id, customer_id, started_at, ended_at, topic, agent_id, count(*) as copies
    from contacts_repeated
    group by interaction_id, customer_id, started_at, ended_at, topic, agent_id
),
repeated as (
    select interaction_id, sum(copies) as row_count, count(*) as version_count, min(started_at) as started_at
    from versions
    group by interaction_id
),
kept as (
    select interaction_id, count(*) as contact_count from contacts_repeated where is_kept group by interaction_id
)
select repeated.interaction_id, row_count, version_count, contact_count, started_at
from repeated
inner join kept on kept.interaction_id = repeated.interaction_id
order by row_count desc, version_count desc, repeated.interaction_id
limit $max_rows;

-- section: Same customer, topic, channel and minute
-- check: gap_s between 0 and 60
with contacts as (
    select
        interaction_id,
        customer_id,
        channel,
        topic,
        started_at,
        lag(interaction_id) over matter as earlier_id,
        lag(started_at) over matter as earlier_at
    from contacts_clean
    where customer_id is not null and started_at is not null
    window matter as (partition by customer_id, channel, topic order by started_at, interaction_id)
)
select
    interaction_id,
    earlier_id,
    customer_id,
    channel,
    topic,
    started_at,
    date_part('epoch', started_at - earlier_at) as gap_s
from contacts
where started_at <= earlier_at + interval '60 seconds'
order by started_at, interaction_id
limit $max_rows
