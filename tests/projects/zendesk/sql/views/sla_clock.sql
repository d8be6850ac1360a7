-- title: SLA clocks
-- description: When the clock of an SLA metric runs for a ticket, cut where its priority changes.
-- first_reply_time runs from the start to the first public reply, or to the solution without one. requester_wait_time runs
-- while the ticket is new, open or on hold: it pauses while the ticket is pending, that is while the customer is asked, and
-- when it is solved. Clocks that still run are read when the export was made.
-- grain: one row per ticket, metric and stretch
-- check: ended_at > started_at
with running as (
    select
        ticket_id,
        'first_reply_time' as metric,
        created_at as started_at,
        least(coalesce(first_reply_at, observed_until), coalesce(solved_at, observed_until)) as ended_at
    from tickets
    union all
    select ticket_id, 'requester_wait_time', started_at, coalesce(ended_at, observed_until)
    from ticket_spans inner join tickets using (ticket_id)
    where field_name = 'status' and value in ('new', 'open', 'hold', 'on-hold')
),
cut as (
    select
        running.ticket_id,
        metric,
        priorities.value as priority,
        greatest(running.started_at, priorities.started_at) as started_at,
        least(running.ended_at, coalesce(priorities.ended_at, running.ended_at)) as ended_at
    from running
    inner join ticket_spans as priorities
        on priorities.ticket_id = running.ticket_id and priorities.field_name = 'priority'
)
select * from cut where ended_at > started_at
