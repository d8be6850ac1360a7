-- title: Clean surveys
-- description: Every survey answer once, scores off the scale of their kind as NULL.
-- The scales are NPS 0 to 10, CSAT 1 to 5, CES 1 to 7.
-- grain: one row per survey_id
-- check: score between 0 and 10
with versions as (
    select
        * replace (nullif(lower(trim(kind)), '') as kind),
        row_number() over (
            partition by survey_id order by responded_at desc nulls last, interaction_id, kind, score
        ) as version
    from surveys
)
select
    * exclude (version) replace (
        case
            when kind = 'nps' and score between 0 and 10 then score
            when kind = 'csat' and score between 1 and 5 then score
            when kind = 'ces' and score between 1 and 7 then score
        end as score
    )
from versions
where version = 1 or survey_id is null
