-- Statements that are changed: one a line.
select 1
select count(*) from interactions
select * from interactions order by started_at limit 10
select queue, count(*) as n, avg(wait_s) from interactions where wait_s > 30 group by queue having count(*) > 5 order by n desc
select customer_id, lag(started_at, 1) over (partition by customer_id order by started_at) as before_at from interactions
select topic, fcr(customer_id, topic, started_at, interval '7 days') from interactions group by topic
select queue, service_level(wait_s, is_abandoned, 20) as s from interactions group by queue
select sentiment(comment), sentiment_label(comment) from surveys where comment is not null
select nps(score) from surveys where kind = 'nps'
select csat(score) from surveys where kind = 'csat'
select zscore(talk_s) over (partition by queue), modified_zscore(talk_s) over (partition by queue) from interactions
select standard_label('topic', topic) from interactions group by 1
select mode(topic), mode(queue) from interactions group by is_abandoned
select * from reports.kpi_overview
select * from reports.fcr_by_topic(since => '2025-03-01')
select a.queue, b.team from interactions a join agents b using (agent_id) where a.wait_s in (1, 2, 3, 5, 8)
select customer_id from customers where customer_id not in (select customer_id from orders where amount > 100)
select i.topic, (select max(o.amount) from orders o where o.customer_id = i.customer_id) from interactions i limit 50
select date_trunc('week', started_at), count(distinct customer_id) from interactions group by 1 order by 1
select extract(epoch from ended_at - started_at), started_at + interval '1 month' from interactions where ended_at is not null
select string_agg(topic, ',' order by topic) from interactions group by queue
select array_agg(distinct queue), array_sort(array_agg(topic))[1] from interactions
select percentile_cont(0.9) within group (order by wait_s), median(talk_s), stddev(hold_s) from interactions
select corr(talk_s, hold_s), regr_slope(talk_s, hold_s), approx_distinct(customer_id) from interactions
select generate_series(1, 10), unnest([1, 2, 3])
select value from generate_series(1, 1000000) where value % 7 = 3
with recursive r as (select 1 as n union all select n + 1 from r where n < 100) select sum(n) from r
select case when wait_s < 20 then 'short' when wait_s < 60 then 'middle' else 'long' end as class, count(*) from interactions group by 1
select queue, topic, grouping(queue), count(*) from interactions group by rollup(queue, topic)
select * from (values (1, 'a'), (2, null)) t(a, b) full join (values (2, 'c')) u(a, c) using (a)
select regexp_replace(text, '[aeiou]+', '_', 'g'), split_part(text, ' ', 2), upper(left(text, 3)) from interactions limit 20
select to_char(started_at, '%Y-%m-%d %H:%M'), to_timestamp('2025-01-01'), date_part('dow', started_at) from interactions limit 5
select cast('12345678901234567.89' as decimal(20, 2)) * 3, round(1.005, 2), 7 // 2, 2 ^ 10, ~5
select arrow_cast('2025-01-01', 'Timestamp(Nanosecond, Some("+01:00"))') at time zone 'Europe/Berlin'
select encode(sha256('x'), 'hex'), decode('ff', 'hex'), md5('a'), repeat('ab', 3), lpad('7', 3, '0')
select row_number() over (order by wait_s), ntile(4) over (order by wait_s), sum(wait_s) over (rows between 3 preceding and 1 following) from interactions
select first_value(topic) over w, nth_value(topic, 2) over w from interactions window w as (partition by customer_id order by started_at)
select count(*) filter (where is_abandoned), bool_or(is_resolved), bit_and(transfer_count) from interactions
select wait_s from interactions intersect all select hold_s from interactions
select wait_s from interactions except select talk_s from interactions order by 1 limit 3
select * from information_schema.tables
select * from information_schema.columns where table_name = 'interactions'
select * from system.queries order by started_at desc limit 3
show all
describe interactions
explain select queue, count(*) from interactions group by queue
explain analyze select queue, count(*) from interactions group by queue
select {'a': 1, 'b': [1, 2]}, struct(1, 'x'), named_struct('a', 1), map(['k'], [1])
select a.x, b.y from generate_series(1, 50) a(x), lateral (select a.x * 2 as y) b
select exists (select 1 from orders where amount < 0), 5 = any(array[1, 5]), 3 > all(select score from surveys)
select sum(amount) over (order by ordered_at range between interval '7 days' preceding and current row) from orders
select greatest(1, null, 3), least('a', 'b'), coalesce(null, 2), nullif(1, 1), wait_s between 1 and 5 from interactions limit 2
select max(length(s)), count(distinct a) from parquet_0
select * from arrow_0 where a > 5
select b, count(*) from csv_0 group by b
