-- tolerance: 1e-6
select
    queue,
    percentile_cont(0.5) within group (order by wait_s) as p50_s,
    percentile_cont(0.9) within group (order by wait_s) as p90_s,
    percentile_cont(0.99) within group (order by wait_s) as p99_s
from interactions
where wait_s >= 0 and queue is not null
group by queue
order by queue
