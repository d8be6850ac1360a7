-- title: Abandonment
-- description: Share of offered contacts that gave up waiting, by queue and by how long they had waited.
-- Short abandons are waits up to short_s; the second ratio leaves them out of both sides. In the second section each
-- band starts with the contacts still waiting then: hazard_ratio is the share of them that gave up within the band. A
-- contact without a wait counts in abandonment_ratio and is in the band unknown; an abandoned one is left out of
-- without_short_ratio, as it may be short, and where no abandoned contact has a wait hazard_ratio is NULL. A contact of
-- which is_abandoned is unknown is left out everywhere.
-- grain: one row per queue, then one per band of 10 seconds waited
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: short_s float >= 0 = 5           # abandoned within this many seconds counts as a short abandon
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
        count(*) filter (where is_abandoned and wait_s is null) as abandoned_without_wait_count,
        abandonment_rate(is_abandoned) as abandonment_ratio,
        proportion_ci(is_abandoned) as abandonment_ci,
        abandonment_rate(is_abandoned, wait_s, $short_s) as without_short_ratio,
        median(cast(wait_s as double)) filter (where is_abandoned) as abandoned_wait_median_s
    from contacts
    group by queue
)
select
    queue,
    offered_count,
    abandoned_count,
    abandoned_without_wait_count,
    abandonment_ratio,
    abandonment_ci['low'] as abandonment_low_ratio,
    abandonment_ci['high'] as abandonment_high_ratio,
    without_short_ratio,
    abandoned_wait_median_s
from by_queue
order by offered_count desc, queue;

-- section: By time waited
-- chart: bar x=waited y=hazard_ratio format=percent
-- check: hazard_ratio between 0 and 1
-- check: abandoned_count <= ended_count
with contacts as (
    select wait_s - wait_s % 10 as waited_from_s, is_abandoned
    from contacts_clean
    where is_offered and is_abandoned is not null and started_at >= $since and started_at < $until
),
by_band as (
    select waited_from_s, count(*) as ended_count, count(*) filter (where is_abandoned) as abandoned_count
    from contacts
    group by waited_from_s
),
with_waiting as (
    select
        *,
        case when waited_from_s is not null
            then sum(ended_count) over (order by waited_from_s desc nulls last) end as waiting_count,
        sum(case when waited_from_s is not null then abandoned_count else 0 end) over () as with_wait_count,
        sum(abandoned_count) over () as all_abandoned_count
    from by_band
)
select
    coalesce(cast(cast(waited_from_s as bigint) as text) || ' s', 'unknown') as waited,
    waited_from_s,
    waiting_count,
    ended_count,
    abandoned_count,
    case when with_wait_count > 0 or all_abandoned_count = 0
        then abandoned_count / cast(waiting_count as double) end as hazard_ratio
from with_waiting
order by waited_from_s nulls last;

-- notes: contacts without an outcome or a wait
with figures as (
    select
        count(*) as offered_count,
        count(*) - count(is_abandoned) as unknown_count,
        count(*) filter (where is_abandoned) as abandoned_count,
        count(*) filter (where is_abandoned and wait_s is null) as without_wait_count
    from contacts_clean
    where is_offered and started_at >= $since and started_at < $until
)
select unnest([
    case when unknown_count > 0 then
        unknown_count || ' of ' || offered_count || ' offered contacts are left out: abandoned or not is unknown'
    end,
    case when without_wait_count > 0 then
        without_wait_count || ' of ' || abandoned_count || ' abandoned contacts have no wait: they are left out of '
        || 'without_short_ratio and in the band unknown'
    end
])
from figures;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)
