-- title: Tickets
-- description: Each ticket with its first public reply and its last solution.
-- A reply is a public comment of an agent or admin after the ticket's start: internal notes and what customers write are none. A
-- ticket that is open again has no solution. observed_until is when the export was made.
-- grain: one row per ticket
-- check: first_reply_at > created_at
-- check: solved_at >= created_at
with exported as (
    select
        id as ticket_id,
        arrow_cast(created_at, 'Timestamp(Microsecond, Some("UTC"))') as created_at,
        nullif(priority, '') as priority,
        status
    from ticket_export
),
replies as (
    select
        ticket_id,
        arrow_cast(created, 'Timestamp(Microsecond, Some("UTC"))') as replied_at
    from comment_export
    inner join user_export on user_export.id = comment_export.user_id
    where public and user_export.role in ('agent', 'admin')
),
first_replies as (
    select ticket_id, min(replied_at) as first_reply_at
    from replies inner join exported using (ticket_id)
    where replied_at > created_at
    group by ticket_id
),
solutions as (
    select ticket_id, max(arrow_cast(updated, 'Timestamp(Microsecond, Some("UTC"))')) as last_solved_at
    from field_history_export
    where field_name = 'status' and value = 'solved'
    group by ticket_id
),
observed as (
    select arrow_cast(max(_fivetran_synced), 'Timestamp(Microsecond, Some("UTC"))') as observed_until from ticket_export
)
select
    exported.*,
    first_reply_at,
    case when status in ('solved', 'closed') then last_solved_at end as solved_at,
    observed_until
from exported
left join first_replies using (ticket_id)
left join solutions using (ticket_id)
cross join observed
