-- title: Churn after repeated contacts
-- description: Share of customers who left within a month of coming back, by how often they had come back.
-- Each customer counts once per row: from a contact before any repeat in the row 0, from the first, second, third and
-- fourth repeat within 7 days on the same topic in the others. The share is that of known_count, the customers whose
-- month has elapsed by the end of the data, whether or not they have left already: those who came back last have had no
-- time to leave. Contacts less than 7 days after the data begins are left out. Where no leaving is recorded at all the
-- share is NULL, not zero. It shows no cause.
-- grain: one row per number of repeat contacts, 0 to 4
-- param: within interval > 0 = 30 days    # who leaves later is not counted
-- param: until timestamp = 2200-01-01     # contacts before this time, and who had left by then
-- chart: bar x=repeat_count y=churn_ratio low=churn_low_ratio high=churn_high_ratio format=percent
-- check: churn_ratio between 0 and 1
-- check: churn_ratio between churn_low_ratio - 1e-9 and churn_high_ratio + 1e-9
-- check: churned_count <= known_count and known_count <= customer_count
-- alert: max(churn_low_ratio) filter (where repeat_count > 0) > max(churn_high_ratio) filter (where repeat_count = 0)
with people as (
    select customer_id, max(churned_at) filter (where churned_at < $until) as churned_at
    from customers
    where customer_id is not null
    group by customer_id
),
contacts as (
    select
        people.customer_id,
        people.churned_at,
        started_at,
        count(case when is_repeat then 1 end) over (
            partition by people.customer_id order by started_at, interaction_id
        ) as repeat_count
    from contact_outcomes
    inner join people on people.customer_id = contact_outcomes.customer_id
    where is_repeat is not null and started_at < $until
        and (people.churned_at is null or started_at <= people.churned_at)
),
reached as (
    select customer_id, repeat_count, min(started_at) as reached_at, max(churned_at) as churned_at
    from contacts
    where repeat_count <= 4
    group by customer_id, repeat_count
),
outcomes as (
    select
        repeat_count,
        case when reached_at + $within <= least(observed_until, $until)
            then coalesce(churned_at <= reached_at + $within, false) end as is_churned
    from reached cross join observed_period
),
by_repeats as (
    select
        repeat_count,
        count(*) as customer_count,
        count(is_churned) as known_count,
        count(*) filter (where is_churned) as churned_count,
        case when (select count(churned_at) from people) > 0 then rate(is_churned) end as churn_ratio,
        proportion_ci(is_churned) as churn_ci
    from outcomes
    group by repeat_count
)
select
    repeat_count,
    customer_count,
    known_count,
    churned_count,
    churn_ratio,
    case when churn_ratio is not null then churn_ci['low'] end as churn_low_ratio,
    case when churn_ratio is not null then churn_ci['high'] end as churn_high_ratio
from by_repeats
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
where copy_count > 0.01 * row_count;

-- notes: contacts of customers that are not in the table
with figures as (
    select count(*) as contact_count, count(*) - count(people.customer_id) as left_out_count
    from contacts_clean
    left join (select distinct customer_id from customers) as people on people.customer_id = contacts_clean.customer_id
    where is_fcr_eligible
)
select left_out_count || ' of ' || contact_count || ' contacts are left out: their customer is not in customers'
from figures
where left_out_count > 0;

-- notes: a period that the data do not cover
select note from reports.period_coverage(until => $until)
