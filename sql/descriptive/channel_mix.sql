-- title: Channel mix
-- description: Contacts per channel and month, and each channel's share of the month.
-- grain: one row per month and channel
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- chart: area x=month y=contact_ratio series=channel partial=is_partial format=percent
-- check: contact_ratio between 0 and 1
-- check: inbound_count <= contact_count
with contacts as (
    select cast(date_trunc('month', started_at) as date) as month, channel, customer_id, is_inbound
    from contacts_clean
    where started_at >= $since and started_at < $until
),
by_channel as (
    select
        month,
        channel,
        count(*) as contact_count,
        count(*) filter (where is_inbound) as inbound_count,
        count(distinct customer_id) as customer_count
    from contacts
    group by month, channel
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from covered_period
)
select
    month,
    channel,
    contact_count,
    contact_count / cast(sum(contact_count) over (partition by month) as double) as contact_ratio,
    inbound_count,
    customer_count,
    month < covered_from or month + interval '1 month' > covered_until as is_partial
from by_channel cross join bounds
order by month, contact_count desc, channel;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
