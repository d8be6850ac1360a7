-- title: Incidents
-- description: Each incident as its last event leaves it, with typed times.
-- The last event has the highest sys_mod_count, then the latest sys_updated_at; five incidents repeat a count. The
-- five events with the state -100 are no states of the process and are left out. Times are d/m/yyyy H:MM without a
-- zone and are read as UTC.
-- grain: one row per incident
-- check: resolved_at >= opened_at
with events as (
    select
        * replace (
            to_timestamp_micros(1000000 * to_unixtime(opened_at, '%d/%m/%Y %H:%M')) as opened_at,
            to_timestamp_micros(1000000 * to_unixtime(resolved_at, '%d/%m/%Y %H:%M')) as resolved_at,
            to_timestamp_micros(1000000 * to_unixtime(closed_at, '%d/%m/%Y %H:%M')) as closed_at,
            to_timestamp_micros(1000000 * to_unixtime(sys_updated_at, '%d/%m/%Y %H:%M')) as sys_updated_at
        )
    from incident_events
    where incident_state <> '-100'
)
select
    number,
    caller_id,
    opened_at,
    resolved_at,
    closed_at,
    contact_type,
    category,
    subcategory,
    priority,
    assignment_group,
    assigned_to,
    resolved_by,
    reassignment_count,
    reopen_count,
    made_sla
from events
qualify row_number() over (
    partition by number order by sys_mod_count desc, sys_updated_at desc, incident_state, category
) = 1
