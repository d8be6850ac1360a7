set datafusion.execution.parquet.schema_force_view_types = false;
with contacts as (
    select customer_id, channel, arrow_cast(started_at, 'Int64') as at from interactions where customer_id is not null
),
customers as (
    select customer_id, min(at) as first_at, max(at) as last_at from contacts group by customer_id
)
select
    channel,
    count(*) as contact_count,
    avg(at - first_at) / 1e6 as since_first_avg_s,
    avg(last_at - at) / 1e6 as until_last_avg_s
from customers
inner join contacts on contacts.customer_id = customers.customer_id
group by channel
order by channel
