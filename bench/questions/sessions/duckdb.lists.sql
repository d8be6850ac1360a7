set preserve_insertion_order = false;
-- per customer: the sorted instants, the positions where a session begins, and each session from one to the next
with customers as (
    select list_sort(list(epoch_us(started_at))) as steps
    from interactions
    where customer_id is not null
    group by customer_id
),
starts as (
    select
        steps,
        list_concat([1], [i for i in range(2, len(steps) + 1) if steps[i] - steps[i - 1] > 30 * 86400000000]) as firsts
    from customers
),
spans as (
    select steps, unnest(firsts) as first, unnest(list_concat(firsts[2:], [len(steps) + 1])) as next
    from starts
),
sessions as (
    select next - first as contact_count, (steps[next - 1] - steps[first]) / 1e6 as length_s from spans
)
select least(contact_count, 10) as session_size, count(*) as session_count, avg(length_s) as length_avg_s
from sessions
group by session_size
order by session_size
