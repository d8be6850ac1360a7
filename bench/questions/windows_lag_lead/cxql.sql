with contacts as (
    select
        topic,
        started_at,
        lag(started_at) over (partition by customer_id, topic order by started_at) as previous_at,
        lead(started_at) over (partition by customer_id, topic order by started_at) as next_at
    from interactions
    where customer_id is not null and topic is not null
)
select
    topic,
    count(previous_at) as followed_count,
    avg(date_part('epoch', started_at - previous_at)) as gap_avg_s,
    count(*) filter (where started_at <= previous_at + interval '7 days' and next_at <= started_at + interval '7 days')
        as between_count
from contacts
group by topic
order by topic
