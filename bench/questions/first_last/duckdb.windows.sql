set preserve_insertion_order = false;
with contacts as (
    select
        channel,
        epoch_us(started_at) as us,
        first_value(epoch_us(started_at)) over steps as first_us,
        last_value(epoch_us(started_at)) over steps as last_us
    from interactions
    where customer_id is not null
    window steps as (
        partition by customer_id order by epoch_us(started_at) rows between unbounded preceding and unbounded following
    )
)
select
    channel,
    count(*) as contact_count,
    avg(us - first_us) / 1e6 as since_first_avg_s,
    avg(last_us - us) / 1e6 as until_last_avg_s
from contacts
group by channel
order by channel
