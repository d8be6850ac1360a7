-- title: Coverage of a period
-- description: What of a period the data cover, and a note about it where that is not all.
-- The reports show the note: a period that the data do not cover has no figures, and is no period with 0 contacts. since up
-- to 1970-01-01 and until from 2200-01-01 on stand for the begin and the end of the data. The covered period is that of the
-- contacts; where no contact has a start it is not known, and nothing is said.
-- grain: one row
-- param: since timestamp = 1970-01-01     # begin of the period
-- param: until timestamp = 2200-01-01     # end of the period, exclusive
-- check: covered_ratio between 0 and 1
with covered as (
    select
        covered_from,
        covered_until,
        -- the unit of covered_from
        cast($since as timestamptz) as since,
        cast($until as timestamptz) as until,
        -- in any time zone
        $since > timestamp '1970-01-02T00:00:00Z' as has_since,
        $until < timestamp '2199-12-31T00:00:00Z' as has_until
    from covered_period
),
periods as (
    select
        *,
        case when has_since then since else covered_from end as period_from,
        case when has_until then until else covered_until end as period_until
    from covered
),
compared as (
    select
        *,
        greatest(
            date_part('epoch', least(period_until, covered_until) - greatest(period_from, covered_from)), 0
        ) as covered_s,
        date_part('epoch', period_until - period_from) as period_s
    from periods
)
select
    period_from,
    period_until,
    covered_from,
    covered_until,
    case
        when period_s > 0 then covered_s / period_s
        -- since after the end of the data, or until before its begin
        when period_s <= 0 and not (has_since and has_until) then 0.0
    end as covered_ratio,
    case
        when has_since and has_until and since >= until then
            'since, ' || cast(since as date) || ', is not before until, ' || cast(until as date) || ': no row is between them'
        when has_since and has_until and covered_s = 0 then
            covers || ': nothing of the period from ' || cast(since as date) || ' to before ' || cast(until as date)
        when has_since and since >= covered_until then covers || ': nothing from ' || cast(since as date) || ' on'
        when has_until and until <= covered_from then covers || ': nothing before ' || cast(until as date)
        when covered_s < period_s then
            covers || ': a part of the period'
            || case when has_since then ' from ' || cast(since as date) else '' end
            || case when has_until then ' to before ' || cast(until as date) else '' end
    end as note
from (
    select *, 'the data cover ' || cast(covered_from as date) || ' to before ' || cast(covered_until as date) as covers
    from compared
) as said
