-- title: Incidents
-- description: Each incident as its last event leaves it, with typed times.
-- The last event has the highest sys_mod_count, then the latest sys_updated_at; five incidents repeat a count. The
-- five events with the state -100 are no states of the process and are left out. Times are d/m/yyyy H:MM without a
-- zone and are read as UTC.
-- grain: one row per incident
-- check: resolved_at >= opened_at
with events as (
    select
        number,
        incident_state,
        sys_mod_count,
        nullif(caller_id, '?') as caller_id,
        to_timestamp_micros(1000000 * to_unixtime(nullif(opened_at, '?'), '%d/%m/%Y %H:%M')) as opened_at,
        to_timestamp_micros(1000000 * to_unixtime(nullif(resolved_at, '?'), '%d/%m/%Y %H:%M')) as resolved_at,
        to_timestamp_micros(1000000 * to_unixtime(nullif(closed_at, '?'), '%d/%m/%Y %H:%M')) as closed_at,
        to_timestamp_micros(1000000 * to_unixtime(sys_updated_at, '%d/%m/%Y %H:%M')) as sys_updated_at,
        nullif(contact_type, '?') as contact_type,
        nullif(category, '?') as category,
        nullif(subcategory, '?') as subcategory,
        priority,
        nullif(assignment_group, '?') as assignment_group,
        nullif(assigned_to, '?') as assigned_to,
        nullif(resolved_by, '?') as resolved_by,
        reassignment_count,
        reopen_count,
        made_sla
    from incident_events
    where incident_state <> '-100'
)
select * exclude (incident_state, sys_mod_count, sys_updated_at)
from events
qualify row_number() over (
    partition by number order by sys_mod_count desc, sys_updated_at desc, incident_state, category
) = 1
