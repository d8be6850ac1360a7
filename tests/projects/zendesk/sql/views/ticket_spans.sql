-- title: Stretches of status and priority
-- description: From when to when a ticket has had a status or a priority; the last one has no end.
-- A ticket is new until its first recorded status; of one that is not open and has no recorded status nothing is known. The
-- first recorded priority holds from the start.
-- grain: one row per ticket, field and change
-- check: ended_at > started_at
with history as (
    select distinct
        ticket_id,
        field_name,
        value,
        arrow_cast(updated, 'Timestamp(Microsecond, Some("UTC"))') as changed_at
    from field_history_export
    where field_name in ('status', 'priority') and ticket_id in (select ticket_id from tickets)
),
first_changes as (
    select ticket_id, field_name, min(changed_at) as first_at from history group by ticket_id, field_name
),
changes as (
    select * from history
    union all
    select tickets.ticket_id, 'status', 'new', created_at
    from tickets
    left join first_changes on first_changes.ticket_id = tickets.ticket_id and first_changes.field_name = 'status'
    where first_at > created_at or first_at is null and status in ('new', 'open', 'hold', 'on-hold')
    union all
    select tickets.ticket_id, 'priority', priority, created_at
    from tickets
    left join first_changes on first_changes.ticket_id = tickets.ticket_id and first_changes.field_name = 'priority'
    where first_at is null
),
ordered as (
    select
        *,
        lead(changed_at) over (partition by ticket_id, field_name order by changed_at) as ended_at,
        row_number() over (partition by ticket_id, field_name order by changed_at) as change_number
    from changes
),
spans as (
    select
        ticket_id,
        field_name,
        value,
        case when field_name = 'priority' and change_number = 1 then created_at
            else greatest(changed_at, created_at) end as started_at,
        ended_at
    from ordered inner join tickets using (ticket_id)
)
select * from spans where ended_at is null or ended_at > started_at
