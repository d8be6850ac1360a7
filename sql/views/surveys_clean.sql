-- title: Clean surveys
-- description: Every survey answer once, scores off the scale of their kind as NULL.
-- The scales are whole numbers: NPS 0 to 10, CSAT 1 to 5, CES 1 to 7. A score of another kind is NULL. Of rows with one survey_id the latest counts; questions of
-- different kinds in one survey are answers of their own.
-- grain: one row per survey_id and kind
-- check: score between 0 and 10
with answers as (
    select * replace (nullif(lower(trim(kind)), '') as kind) from surveys
),
versions as (
    select
        *,
        row_number() over (
            partition by survey_id, kind order by responded_at desc nulls last, interaction_id, score
        ) as version
    from answers
)
select
    * exclude (version) replace (
        case
            -- as the functions count them: 4.5 is on no scale
            when score <> floor(score) then null
            when kind = 'nps' and score between 0 and 10 then score
            when kind = 'csat' and score between 1 and 5 then score
            when kind = 'ces' and score between 1 and 7 then score
        end as score
    )
from versions
where version = 1 or survey_id is null;

-- notes: answers left out because their key repeats, that no period contains, or of which no figure is made
with figures as (
    select all_count, undated_count, unknown_kind_count, unknown_kinds, all_count - kept_count as left_out_count
    from (
        select
            count(*) as all_count,
            count(*) - count(responded_at) as undated_count,
            count(*) filter (where coalesce(lower(trim(kind)), '') not in ('nps', 'csat', 'ces')) as unknown_kind_count
        from surveys
    ) as raw
    cross join (select count(*) as kept_count from surveys_clean) as kept
    cross join (
        select string_agg(distinct '"' || kind || '"', ', ' order by '"' || kind || '"') as unknown_kinds
        from (
            select lower(trim(kind)) as kind from surveys
            where lower(trim(kind)) not in ('nps', 'csat', 'ces', '')
            group by lower(trim(kind)) order by lower(trim(kind)) limit 3
        ) as named
    ) as kinds
)
select unnest([
    case when left_out_count > 0.01 * all_count then
        left_out_count || ' of ' || all_count || ' survey answers (' || round(100.0 * left_out_count / all_count, 1)
        || ' %) share their survey_id and kind with another and were left out; see cxql run duplicates. If they are no '
        || 'copies, give each answer a key of its own in a view surveys'
    end,
    case when undated_count > 0.001 * all_count then
        undated_count || ' of ' || all_count || ' survey answers have no responded_at: no period contains them'
    end,
    case when unknown_kind_count > 0 then
        unknown_kind_count || ' of ' || all_count || ' survey answers are of no kind that is known'
        || coalesce(', such as ' || unknown_kinds, '') || ': they have no score; the kinds are nps, csat and ces'
    end
])
from figures
