-- title: Transfers
-- description: How often contacts are passed on, by topic and queue, and what becomes of those.
-- grain: one row per topic and queue
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- chart: bar x=topic y=transferred_ratio series=queue format=percent
-- check: transferred_ratio between 0 and 1
-- check: transferred_ratio between transferred_low_ratio - 1e-9 and transferred_high_ratio + 1e-9
-- check: mean_transfer_count >= 0
with contacts as (
    select topic, queue, transfer_count, transfer_count > 0 as is_transferred, is_first_contact_resolved, handle_s
    from contact_outcomes
    where is_answered and transfer_count is not null and started_at >= $since and started_at < $until
),
by_topic as (
    select
        topic,
        queue,
        count(*) as contact_count,
        count(*) filter (where is_transferred) as transferred_count,
        rate(is_transferred) as transferred_ratio,
        proportion_ci(is_transferred) as transferred_ci,
        avg(transfer_count) as mean_transfer_count,
        fcr(is_first_contact_resolved) filter (where is_transferred) as transferred_fcr_ratio,
        fcr(is_first_contact_resolved) filter (where not is_transferred) as kept_fcr_ratio,
        avg(handle_s) filter (where is_transferred) as transferred_aht_s,
        avg(handle_s) filter (where not is_transferred) as kept_aht_s
    from contacts
    group by topic, queue
)
select
    topic,
    queue,
    contact_count,
    transferred_count,
    transferred_ratio,
    transferred_ci['low'] as transferred_low_ratio,
    transferred_ci['high'] as transferred_high_ratio,
    mean_transfer_count,
    transferred_fcr_ratio,
    kept_fcr_ratio,
    transferred_aht_s,
    kept_aht_s
from by_topic
order by transferred_count desc, topic, queue;

-- notes: contacts whose transfers are unknown
with figures as (
    select count(*) as answered_count, count(*) - count(transfer_count) as unknown_count
    from contacts_clean
    where is_answered and started_at >= $since and started_at < $until
)
select unknown_count || ' of ' || answered_count || ' answered contacts have no transfer_count: left out'
from figures
where unknown_count > 0;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
