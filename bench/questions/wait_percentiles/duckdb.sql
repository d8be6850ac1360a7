with queues as (
    select queue, quantile_cont(wait_s, [0.5, 0.9, 0.99]) as p
    from interactions
    where wait_s >= 0 and queue is not null
    group by queue
)
select queue, p[1] as p50_s, p[2] as p90_s, p[3] as p99_s from queues order by queue
