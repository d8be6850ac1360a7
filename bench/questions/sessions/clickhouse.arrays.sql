with customers as (
    select arraySort(groupArray(toUnixTimestamp(started_at))) as steps
    from file('interactions/*.parquet', Parquet, 'customer_id String, started_at DateTime(\'UTC\')')
    where customer_id <> ''
    group by customer_id
),
sessions as (
    select arrayJoin(arraySplit((one, gap) -> gap > 30 * 86400, steps, arrayDifference(steps))) as session from customers
)
select
    least(length(session), 10) as session_size,
    count() as session_count,
    avg(session[-1] - session[1]) as length_avg_s
from sessions
group by session_size
order by session_size
