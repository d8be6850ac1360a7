-- title: Missing values
-- description: Rows without a value, per column that the reports rely on.
-- A text of blanks counts as missing. An abandoned contact needs no agent and no talk time.
-- grain: one row per table and column
-- check: affected_count between 0 and checked_count
with contacts as (
    select
        count(*) as checked_count,
        unnest([
            'interaction_id', 'customer_id', 'started_at', 'ended_at', 'channel', 'queue', 'agent_id', 'topic',
            'product', 'wait_s', 'talk_s', 'is_abandoned', 'is_resolved'
        ]) as column_name,
        unnest([
            count(nullif(trim(interaction_id), '')), count(nullif(trim(customer_id), '')), count(started_at),
            count(ended_at), count(nullif(trim(channel), '')), count(nullif(trim(queue), '')),
            count(*) filter (where is_abandoned or trim(agent_id) <> ''), count(nullif(trim(topic), '')),
            count(nullif(trim(product), '')), count(wait_s), count(*) filter (where is_abandoned or talk_s is not null),
            count(is_abandoned), count(is_resolved)
        ]) as known_count
    from interactions
),
answers as (
    select
        count(*) as checked_count,
        unnest([
            'survey_id', 'interaction_id', 'customer_id', 'responded_at', 'kind', 'score', 'comment'
        ]) as column_name,
        unnest([
            count(nullif(trim(survey_id), '')), count(nullif(trim(interaction_id), '')),
            count(nullif(trim(customer_id), '')), count(responded_at), count(nullif(trim(kind), '')), count(score),
            count(nullif(trim(comment), ''))
        ]) as known_count
    from surveys
),
people as (
    select
        count(*) as checked_count,
        unnest(['customer_id', 'signed_up_at', 'birth_date', 'region', 'segment']) as column_name,
        unnest([
            count(nullif(trim(customer_id), '')), count(signed_up_at), count(birth_date),
            count(nullif(trim(region), '')), count(nullif(trim(segment), ''))
        ]) as known_count
    from customers
),
tables as (
    select 'interactions' as table_name, column_name, known_count, checked_count from contacts
    union all
    select 'surveys', column_name, known_count, checked_count from answers
    union all
    select 'customers', column_name, known_count, checked_count from people
)
select
    table_name, column_name, 'missing' as check_name, checked_count - known_count as affected_count, checked_count
from tables
