set preserve_insertion_order = false;
with customers as (
    select customer_id, count(*) as customer_contact_count from interactions where customer_id is not null group by customer_id
)
select
    channel,
    count(*) as contact_count,
    avg(customer_contact_count) as customer_contact_avg,
    count(*) filter (where customer_contact_count >= 20) as frequent_count
from interactions
inner join customers on customers.customer_id = interactions.customer_id
group by channel
order by channel
