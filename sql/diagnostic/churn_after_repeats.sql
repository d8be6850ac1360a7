-- title: Churn after repeated contacts
-- description: Share of customers who left, by how often they had to come back before.
-- Repeats within 7 days on the same topic, counted before the customer left. Customers are those who had a contact.
-- Where no leaving is recorded at all the share is NULL, not zero. More repeats need more time as a customer, which
-- makes the difference look smaller than it is; it shows no cause.
-- grain: one row per number of repeat contacts, 4 and more together
-- param: until timestamp = 2200-01-01     # contacts before this time, and who had left by then
-- chart: bar x=repeat_count y=churn_ratio low=churn_low_ratio high=churn_high_ratio format=percent
-- check: churn_ratio between 0 and 1
-- check: churn_ratio between churn_low_ratio - 1e-9 and churn_high_ratio + 1e-9
-- check: churned_count <= customer_count
-- alert: max(churn_low_ratio) filter (where repeat_count > 0) > max(churn_high_ratio) filter (where repeat_count = 0)
with people as (
    select customer_id, max(churned_at) filter (where churned_at < $until) as churned_at
    from customers
    where customer_id is not null
    group by customer_id
),
contacts as (
    select people.customer_id, people.churned_at, is_repeat
    from contact_outcomes
    inner join people on people.customer_id = contact_outcomes.customer_id
    where is_fcr_eligible and started_at < $until and (people.churned_at is null or started_at <= people.churned_at)
),
by_customer as (
    select
        customer_id,
        least(count(*) filter (where is_repeat), 4) as repeat_count,
        count(*) as contact_count,
        max(churned_at) is not null as is_churned
    from contacts
    group by customer_id
),
by_repeats as (
    select
        repeat_count,
        count(*) as customer_count,
        avg(contact_count) as mean_contact_count,
        count(*) filter (where is_churned) as churned_count,
        case when (select count(churned_at) from people) > 0 then rate(is_churned) end as churn_ratio
    from by_customer
    group by repeat_count
),
with_spread as (
    select *, 1.96 * sqrt(churned_count * (1 - churn_ratio) + 0.9604) as spread from by_repeats
)
select
    repeat_count,
    customer_count,
    mean_contact_count,
    churned_count,
    churn_ratio,
    (churned_count + 1.9208 - spread) / (customer_count + 3.8416) as churn_low_ratio,
    (churned_count + 1.9208 + spread) / (customer_count + 3.8416) as churn_high_ratio
from with_spread
order by repeat_count;

-- notes: customers with several rows
with figures as (
    select count(customer_id) as row_count, count(customer_id) - count(distinct customer_id) as copy_count
    from customers
)
select
    copy_count || ' of ' || row_count || ' rows of customers (' || round(100.0 * copy_count / row_count, 1)
    || ' %) share their customer_id with another: of these the latest churned_at counts'
from figures
where copy_count > 0.01 * row_count
