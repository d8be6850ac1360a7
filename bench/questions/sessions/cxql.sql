with steps as (
    select
        customer_id,
        started_at,
        lag(started_at) over (partition by customer_id order by started_at) as previous_at
    from interactions
    where customer_id is not null
),
numbered as (
    select
        customer_id,
        started_at,
        sum(case when started_at <= previous_at + interval '30 days' then 0 else 1 end)
            over (partition by customer_id order by started_at) as session_number
    from steps
),
sessions as (
    select
        count(*) as contact_count,
        date_part('epoch', max(started_at) - min(started_at)) as length_s
    from numbered
    group by customer_id, session_number
)
select least(contact_count, 10) as session_size, count(*) as session_count, avg(length_s) as length_avg_s
from sessions
group by session_size
order by session_size
