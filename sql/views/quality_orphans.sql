-- title: Dangling references
-- description: Rows that name a contact, customer or agent that its own table does not have.
-- A reference to a table that is empty or absent is not checked, since then nothing can be found.
-- grain: one row per reference
-- check: affected_count between 0 and checked_count
with contact_keys as (
    select distinct interaction_id from interactions where interaction_id is not null
),
customer_keys as (
    select distinct customer_id from customers where customer_id is not null
),
agent_keys as (
    select distinct agent_id from agents where agent_id is not null
),
found as (
    select 'interactions' as table_name, 'customer_id' as column_name, customer_keys.customer_id is null as is_orphan
    from interactions left join customer_keys on customer_keys.customer_id = interactions.customer_id
    where interactions.customer_id is not null and (select count(*) from customer_keys) > 0
    union all
    select 'interactions', 'agent_id', agent_keys.agent_id is null
    from interactions left join agent_keys on agent_keys.agent_id = interactions.agent_id
    where interactions.agent_id is not null and (select count(*) from agent_keys) > 0
    union all
    select 'surveys', 'interaction_id', contact_keys.interaction_id is null
    from surveys left join contact_keys on contact_keys.interaction_id = surveys.interaction_id
    where surveys.interaction_id is not null and (select count(*) from contact_keys) > 0
    union all
    select 'surveys', 'customer_id', customer_keys.customer_id is null
    from surveys left join customer_keys on customer_keys.customer_id = surveys.customer_id
    where surveys.customer_id is not null and (select count(*) from customer_keys) > 0
    union all
    select 'orders', 'customer_id', customer_keys.customer_id is null
    from orders left join customer_keys on customer_keys.customer_id = orders.customer_id
    where orders.customer_id is not null and (select count(*) from customer_keys) > 0
    union all
    select 'events', 'customer_id', customer_keys.customer_id is null
    from events left join customer_keys on customer_keys.customer_id = events.customer_id
    where events.customer_id is not null and (select count(*) from customer_keys) > 0
    union all
    select 'agent_states', 'agent_id', agent_keys.agent_id is null
    from agent_states left join agent_keys on agent_keys.agent_id = agent_states.agent_id
    where agent_states.agent_id is not null and (select count(*) from agent_keys) > 0
)
select
    table_name,
    column_name,
    'dangling reference' as check_name,
    count(*) filter (where is_orphan) as affected_count,
    count(*) as checked_count
from found
group by table_name, column_name
