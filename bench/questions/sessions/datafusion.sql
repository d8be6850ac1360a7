set datafusion.execution.parquet.schema_force_view_types = false;
with steps as (
    select
        customer_id,
        arrow_cast(started_at, 'Int64') as at,
        lag(arrow_cast(started_at, 'Int64')) over (partition by customer_id order by arrow_cast(started_at, 'Int64')) as previous_at
    from interactions
    where customer_id is not null
),
numbered as (
    select
        customer_id,
        at,
        sum(case when at - previous_at <= 30 * 86400000000 then 0 else 1 end)
            over (partition by customer_id order by at rows between unbounded preceding and current row) as session_number
    from steps
),
sessions as (
    select count(*) as contact_count, (max(at) - min(at)) / 1e6 as length_s
    from numbered
    group by customer_id, session_number
)
select least(contact_count, 10) as session_size, count(*) as session_count, avg(length_s) as length_avg_s
from sessions
group by session_size
order by session_size
