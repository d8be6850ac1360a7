set datafusion.execution.parquet.schema_force_view_types = false;
with customers as (
    select customer_id, count(*) as customer_contact_count from interactions where customer_id is not null group by customer_id
)
select
    channel,
    count(*) as contact_count,
    avg(customer_contact_count) as customer_contact_avg,
    count(*) filter (where customer_contact_count >= 20) as frequent_count
from customers
inner join interactions on customers.customer_id = interactions.customer_id
group by channel
order by channel
