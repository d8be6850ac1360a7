-- title: Duplicate keys
-- description: Rows beyond the first of each key, per table.
-- Of surveys the key is survey_id with kind.
-- grain: one row per table
-- DataFusion 55.2 counts one distinct value in a column that the session fills with NULL: hence `greatest`.
-- check: affected_count between 0 and checked_count
select 'interactions' as table_name, 'interaction_id' as column_name, 'duplicate key' as check_name,
    greatest(count(interaction_id) - count(distinct interaction_id), 0) as affected_count, count(interaction_id) as checked_count
from interactions
union all
select
    'surveys', 'survey_id', 'duplicate key',
    greatest(
        count(survey_id)
        - count(distinct case when survey_id is not null then concat_ws(' ', survey_id, lower(trim(kind))) end), 0
    ),
    count(survey_id)
from surveys
union all
select 'customers', 'customer_id', 'duplicate key', greatest(count(customer_id) - count(distinct customer_id), 0), count(customer_id)
from customers
union all
select 'orders', 'order_id', 'duplicate key', greatest(count(order_id) - count(distinct order_id), 0), count(order_id)
from orders
union all
select 'events', 'event_id', 'duplicate key', greatest(count(event_id) - count(distinct event_id), 0), count(event_id)
from events
union all
select 'agents', 'agent_id', 'duplicate key', greatest(count(agent_id) - count(distinct agent_id), 0), count(agent_id)
from agents
