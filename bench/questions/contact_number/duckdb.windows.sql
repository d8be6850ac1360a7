set preserve_insertion_order = false;
with contacts as (
    select epoch_us(started_at) as us, row_number() over (partition by customer_id order by epoch_us(started_at)) as contact_number
    from interactions
    where customer_id is not null
)
select
    least(contact_number, 20) as contact_number,
    count(*) as contact_count,
    make_timestamp(min(us)) as first_at,
    make_timestamp(max(us)) as last_at
from contacts
group by 1
order by 1
