set datafusion.execution.parquet.schema_force_view_types = false;
with contacts as (
    select
        channel,
        arrow_cast(started_at, 'Int64') as at,
        first_value(arrow_cast(started_at, 'Int64')) over steps as first_at,
        last_value(arrow_cast(started_at, 'Int64')) over steps as last_at
    from interactions
    where customer_id is not null
    window steps as (partition by customer_id order by started_at rows between unbounded preceding and unbounded following)
)
select
    channel,
    count(*) as contact_count,
    avg(at - first_at) / 1e6 as since_first_avg_s,
    avg(last_at - at) / 1e6 as until_last_avg_s
from contacts
group by channel
order by channel
