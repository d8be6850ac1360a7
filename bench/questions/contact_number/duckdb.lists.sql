set preserve_insertion_order = false;
with customers as (
    select list_sort(list(epoch_us(started_at))) as steps
    from interactions
    where customer_id is not null
    group by customer_id
),
contacts as (
    select unnest(steps) as us, unnest(range(1, len(steps) + 1)) as contact_number from customers
)
select
    least(contact_number, 20) as contact_number,
    count(*) as contact_count,
    make_timestamp(min(us)) as first_at,
    make_timestamp(max(us)) as last_at
from contacts
group by 1
order by 1
