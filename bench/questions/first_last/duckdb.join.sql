set preserve_insertion_order = false;
with customers as (
    select customer_id, epoch_us(min(started_at)) as first_us, epoch_us(max(started_at)) as last_us
    from interactions
    where customer_id is not null
    group by customer_id
)
select
    channel,
    count(*) as contact_count,
    avg(epoch_us(started_at) - first_us) / 1e6 as since_first_avg_s,
    avg(last_us - epoch_us(started_at)) / 1e6 as until_last_avg_s
from interactions
inner join customers using (customer_id)
group by channel
order by channel
