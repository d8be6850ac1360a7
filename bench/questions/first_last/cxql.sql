with contacts as (
    select
        channel,
        started_at,
        first_value(started_at) over (partition by customer_id order by started_at) as first_at,
        last_value(started_at) over (
            partition by customer_id order by started_at rows between unbounded preceding and unbounded following
        ) as last_at
    from interactions
    where customer_id is not null
)
select
    channel,
    count(*) as contact_count,
    avg(date_part('epoch', started_at - first_at)) as since_first_avg_s,
    avg(date_part('epoch', last_at - started_at)) as until_last_avg_s
from contacts
group by channel
order by channel
