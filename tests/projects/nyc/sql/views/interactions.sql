-- title: Cases as interactions
-- description: One contact per case, for the shipped reports.
-- The export names no caller, so nothing can be said about repeats. The borough goes along beyond the model.
-- grain: one row per case
select
    unique_key as interaction_id,
    arrow_cast(opened_on, 'Timestamp(Microsecond, Some("UTC"))') as started_at,
    arrow_cast(closed_on, 'Timestamp(Microsecond, Some("UTC"))') as ended_at,
    'inbound' as direction,
    account as queue,
    account as team,
    complaint_type as topic,
    descriptor as product,
    borough
from cases
