set datafusion.execution.parquet.schema_force_view_types = false;
with steps as (
    select
        customer_id,
        arrow_cast(occurred_at, 'Int64') as at,
        case event when 'search' then 1 when 'product' then 2 when 'cart' then 3 when 'checkout' then 4 else 5 end as step
    from events
    where customer_id is not null and event in ('search', 'product', 'cart', 'checkout', 'purchase')
),
searched as (
    select *, max(case when step = 1 then at end)
        over (partition by customer_id order by at rows between unbounded preceding and 1 preceding) as at_1
    from steps
),
viewed as (
    select *, max(case when step = 2 and at - at_1 <= 86400000000 then at_1 end)
        over (partition by customer_id order by at rows between unbounded preceding and 1 preceding) as at_2
    from searched
),
filled as (
    select *, max(case when step = 3 and at - at_2 <= 86400000000 then at_2 end)
        over (partition by customer_id order by at rows between unbounded preceding and 1 preceding) as at_3
    from viewed
),
checked as (
    select *, max(case when step = 4 and at - at_3 <= 86400000000 then at_3 end)
        over (partition by customer_id order by at rows between unbounded preceding and 1 preceding) as at_4
    from filled
),
levels as (
    select
        customer_id,
        max(case
            when step = 5 and at - at_4 <= 86400000000 then 5
            when step = 4 and at - at_3 <= 86400000000 then 4
            when step = 3 and at - at_2 <= 86400000000 then 3
            when step = 2 and at - at_1 <= 86400000000 then 2
            when step = 1 then 1
            else 0
        end) as step_count
    from checked
    group by customer_id
)
select step_count, count(*) as customer_count
from levels
group by step_count
order by step_count
