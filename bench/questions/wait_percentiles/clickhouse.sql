with queues as (
    select queue, quantilesExactInclusive(0.5, 0.9, 0.99)(assumeNotNull(wait_s)) as p
    from file('interactions/*.parquet', Parquet, 'queue LowCardinality(String), wait_s Nullable(Int32)')
    where wait_s >= 0 and queue <> ''
    group by queue
)
select queue, p[1] as p50_s, p[2] as p90_s, p[3] as p99_s from queues order by queue
