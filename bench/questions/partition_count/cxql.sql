with contacts as (
    select channel, count(*) over (partition by customer_id) as customer_contact_count
    from interactions
    where customer_id is not null
)
select
    channel,
    count(*) as contact_count,
    avg(customer_contact_count) as customer_contact_avg,
    count(*) filter (where customer_contact_count >= 20) as frequent_count
from contacts
group by channel
order by channel
