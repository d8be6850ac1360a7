with steps as (
    select
        customer_id,
        toUnixTimestamp(started_at) as at,
        lagInFrame(toNullable(at)) over (partition by customer_id order by started_at rows between unbounded preceding and current row) as previous_at
    from file('interactions/*.parquet', Parquet, 'customer_id String, started_at DateTime(\'UTC\')')
    where customer_id <> ''
),
numbered as (
    select
        customer_id,
        at,
        countIf(previous_at is null or at - previous_at > 30 * 86400)
            over (partition by customer_id order by at rows between unbounded preceding and current row) as session_number
    from steps
),
sessions as (
    select count() as contact_count, max(at) - min(at) as length_s
    from numbered
    group by customer_id, session_number
)
select least(contact_count, 10) as session_size, count() as session_count, avg(length_s) as length_avg_s
from sessions
group by session_size
order by session_size
