-- title: Incidents as interactions
-- description: One contact per incident, for the shipped reports.
-- A contact ends when the incident is resolved, or closed where that is missing. Closed without having been reopened
-- counts as logged resolved. Beyond the model the columns reopen_count, priority and is_made_sla go along.
-- grain: one row per incident
select
    number as interaction_id,
    caller_id as customer_id,
    opened_at as started_at,
    coalesce(resolved_at, closed_at) as ended_at,
    contact_type as channel,
    'inbound' as direction,
    assignment_group as queue,
    assignment_group as team,
    coalesce(resolved_by, assigned_to) as agent_id,
    category as topic,
    subcategory as product,
    false as is_abandoned,
    reopen_count = 0 as is_resolved,
    cast(reassignment_count as int) as transfer_count,
    reopen_count,
    priority,
    made_sla as is_made_sla
from incidents
