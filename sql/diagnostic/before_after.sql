-- title: Before and after a change
-- description: The main figures before and after a change, such as a new script, and whether they differ by more than chance.
-- Shares are compared by a z test with Newcombe's interval, means by Welch's test, NPS by its own; p_adjusted is p_value by
-- Holm over all figures. verdict is better or worse where p_adjusted is below 0.05, else no difference shown: that is
-- not the same as none. difference is after less before, difference_low and difference_high its interval. This is no
-- experiment, and seasons, trends and other changes of the same days look the same. Compare with a topic or queue
-- without the change. FCR and repeats rest on contacts whose 7 days have elapsed and are known on both sides of the change.
-- grain: one row per figure
-- param: changed_at timestamp = null      # when the change was made; null is one after-window before the end of the data
-- param: before interval > 0 = 28 days    # length of the window before it
-- param: after interval > 0 = 28 days     # length of the window from it on
-- param: topic text like contacts_clean.topic = %  # a topic, or a pattern of LIKE
-- param: queue text like contacts_clean.queue = %  # a queue, or a pattern of LIKE
-- param: threshold_s float >= 0 = 20      # service level counts contacts answered within this many seconds
-- chart: figure x=kpi value=after_value previous=before_value p_value=p_adjusted unit=unit
-- check: case unit when 'ratio' then before_value between 0 and 1 and after_value between 0 and 1 end
-- check: difference between difference_low - 1e-9 and difference_high + 1e-9
-- check: p_value between 0 and p_adjusted + 1e-12
-- alert: count(*) filter (where verdict = 'worse') > 0
with windows as (
    select
        coalesce($changed_at, date_trunc('day', observed_until) + interval '1 day' - $after) as changed_at
    from observed_period
),
contacts as (
    select contact_outcomes.*, started_at >= changed_at as is_after
    from windows cross join contact_outcomes
    where started_at >= changed_at - $before and started_at < changed_at + $after
        and ($topic = '%' or topic like $topic) and ($queue = '%' or queue like $queue)
),
flags as (
    select
        is_after,
        unnest([3, 4, 5, 6, 7, 8]) as position,
        unnest([
            is_first_contact_resolved, is_repeat, is_resolved, case when is_answered then transfer_count > 0 end,
            case when is_offered then is_abandoned end,
            case when is_offered and is_abandoned then false
                when is_offered and not is_abandoned then wait_s <= $threshold_s end
        ]) as flag
    from contacts
),
seconds as (
    select
        is_after,
        unnest([9, 10]) as position,
        unnest([case when is_offered and is_answered then wait_s end, handle_s]) as value
    from contacts
),
answers as (
    select kind, cast(score as double) as score, responded_at >= changed_at as is_after
    from windows cross join survey_contacts
    where responded_at >= changed_at - $before and responded_at < changed_at + $after
        and ($topic = '%' or topic like $topic) and ($queue = '%' or queue like $queue)
),
shares as (
    select
        position,
        rate(flag) filter (where not is_after) as before_value,
        rate(flag) filter (where is_after) as after_value,
        proportion_test(flag, is_after, false) as test
    from (
        select is_after, position, flag from flags
        union all
        select is_after, 12, score >= 4 from answers where kind = 'csat' and score between 1 and 5
    ) as known
    group by position
),
means as (
    select
        position,
        avg(value) filter (where not is_after) as before_value,
        avg(value) filter (where is_after) as after_value,
        welch_test(value, is_after, false) as test
    from (
        select is_after, position, value from seconds
        union all
        select is_after, 13, score from answers where kind = 'ces' and score between 1 and 7
    ) as known
    group by position
),
points as (
    select
        11 as position,
        nps(score) filter (where not is_after) as before_value,
        nps(score) filter (where is_after) as after_value,
        nps_test(score, is_after, false) as test
    from answers
    where kind = 'nps'
),
figures as (
    select
        position, before_value, after_value, test['difference'] as difference, test['low'] as low, test['high'] as high,
        test['p_value'] as p_value, test['n_a'] as n_a, test['n_b'] as n_b, test['reason'] as reason
    from shares
    union all
    select
        position, before_value, after_value, test['difference'], test['low'], test['high'],
        test['p_value'], test['n_a'], test['n_b'], test['reason']
    from means
    union all
    select
        position, before_value, after_value, test['difference'], test['low'], test['high'],
        test['p_value'], test['n_a'], test['n_b'], test['reason']
    from points
),
adjusted as (
    select *, p_adjust(p_value, 'holm') over () as p_adjusted from figures
)
select
    kpi,
    unit,
    before_value,
    after_value,
    difference,
    low as difference_low,
    high as difference_high,
    p_value,
    p_adjusted,
    n_a as before_count,
    n_b as after_count,
    case
        when p_value is null then reason
        when p_adjusted >= 0.05 then 'no difference shown'
        when (difference > 0) = (adjusted.position in (3, 5, 8, 11, 12, 13)) then 'better'
        else 'worse'
    end as verdict
from adjusted inner join kpis on kpis.position = adjusted.position
order by adjusted.position;

-- notes: windows that the data do not cover
with windows as (
    select
        covered_from,
        covered_until,
        coalesce($changed_at, date_trunc('day', observed_until) + interval '1 day' - $after) as changed_at
    from observed_period cross join covered_period
)
select unnest([
    case when changed_at - $before < covered_from then
        'the data begin ' || cast(covered_from as date) || ', within the window before the change'
    end,
    case when changed_at + $after > covered_until then
        'the data end before ' || cast(covered_until as date) || ', within the window after the change'
    end
])
from windows;

-- notes: first-contact resolution near the end of the data
with windows as (
    select
        observed_until,
        coalesce($changed_at, date_trunc('day', observed_until) + interval '1 day' - $after) as changed_at
    from observed_period
)
select 'first-contact resolution after the change rests on contacts until ' || cast(observed_until - interval '7 days' as date)
    || ': the 7 days of the others have not elapsed'
from windows
where changed_at + $after > observed_until - interval '7 days'
