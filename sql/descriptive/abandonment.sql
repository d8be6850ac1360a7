-- title: Abandonment
-- description: Share of offered contacts that gave up waiting, by queue and by how long they had waited.
-- Short abandons are waits up to short_s; the second ratio leaves them out of both sides. In the second section each
-- band starts with the contacts still waiting then: hazard_ratio is the share of them that gave up within the band.
-- grain: one row per queue, then one per band of 10 seconds waited
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: short_s float = 5                # abandoned within this many seconds counts as a short abandon
-- section: By queue
-- chart: bar x=queue y=abandonment_ratio low=abandonment_low_ratio high=abandonment_high_ratio format=percent
-- check: abandonment_ratio between 0 and 1
-- check: abandonment_ratio between abandonment_low_ratio - 1e-9 and abandonment_high_ratio + 1e-9
-- alert: max(abandonment_low_ratio) filter (where offered_count >= 30) > 0.1
with contacts as (
    select queue, wait_s, is_abandoned
    from contacts_clean
    where is_offered and started_at >= $since and started_at < $until
),
by_queue as (
    select
        queue,
        count(is_abandoned) as offered_count,
        count(*) filter (where is_abandoned) as abandoned_count,
        abandonment_rate(is_abandoned) as abandonment_ratio,
        abandonment_rate(is_abandoned, wait_s, $short_s) as without_short_ratio,
        median(cast(wait_s as double)) filter (where is_abandoned) as abandoned_wait_median_s
    from contacts
    group by queue
),
with_spread as (
    select *, 1.96 * sqrt(abandoned_count * (1 - abandonment_ratio) + 0.9604) as spread from by_queue
)
select
    queue,
    offered_count,
    abandoned_count,
    abandonment_ratio,
    (abandoned_count + 1.9208 - spread) / (offered_count + 3.8416) as abandonment_low_ratio,
    (abandoned_count + 1.9208 + spread) / (offered_count + 3.8416) as abandonment_high_ratio,
    without_short_ratio,
    abandoned_wait_median_s
from with_spread
order by offered_count desc, queue;

-- section: By time waited
-- chart: bar x=waited_from_s y=hazard_ratio format=percent
-- check: hazard_ratio between 0 and 1
with contacts as (
    select wait_s - wait_s % 10 as waited_from_s, is_abandoned
    from contacts_clean
    where is_offered and wait_s is not null and started_at >= $since and started_at < $until
),
by_band as (
    select waited_from_s, count(*) as ended_count, count(*) filter (where is_abandoned) as abandoned_count
    from contacts
    group by waited_from_s
)
select
    waited_from_s,
    sum(ended_count) over (order by waited_from_s desc) as waiting_count,
    abandoned_count,
    abandoned_count / cast(sum(ended_count) over (order by waited_from_s desc) as double) as hazard_ratio
from by_band
order by waited_from_s
