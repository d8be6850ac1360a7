set datafusion.execution.parquet.schema_force_view_types = false;
with contacts as (
    select started_at, row_number() over (partition by customer_id order by started_at) as contact_number
    from interactions
    where customer_id is not null
)
select
    least(contact_number, 20) as contact_number,
    count(*) as contact_count,
    min(started_at) as first_at,
    max(started_at) as last_at
from contacts
group by 1
order by 1
