-- title: Contacts by topic
-- description: How many contacts each topic has.
-- grain: one row per topic
-- param: since timestamp = 2025-01-01     # first contact
-- param: until date = 2026-01-01
-- param: window interval > 0 = 7 days
-- param: threshold_s float >= 0 = 20s
-- param: most integer in (5, 10, 20) = 10
-- param: unit text in (day, week) = day
-- param: topics list of text like interactions.topic = a, "b, c"
-- param: is_open boolean = true
-- chart: bar x=topic y=n,share_ratio format=percent title="Contacts by topic"
-- check: n > 0 and share_ratio between 0 and 1
-- alert: min(share_ratio) filter (where n >= 30) < 0.6 severity error for 2 good runs
select topic, count(*) as n, avg(wait_s) as share_ratio
from interactions
where started_at >= $since and started_at < $until and wait_s > $threshold_s and topic in ($topics) and is_resolved = $is_open
group by date_trunc($unit, started_at + $window), topic limit $most;
-- section: The same by queue
-- chart: line x=day y=n series=queue
-- check: n > 0
select cast(started_at as date) as day, queue, count(*) as n from interactions group by 1, 2;
-- notes: what is left out
select 'it''s ' || count(*) || ' contacts' from interactions where topic is null
