-- title: Outliers that become usual
-- description: Contacts beyond the handle times that were usual at first: their share by month, since when it is usual.
-- Usual at first are the handle times between Tukey's fences, on ln(1 + handle_s), of the first months of each queue
-- (or topic, or channel). What those fences call an outlier is counted in every month after. Where its share reaches
-- usual_ratio and stays there it is no outlier any more but the work as it is now: to leave it out would hide the
-- change. The fences of the month itself (month_outlier_ratio) would have adapted without a word. No row is removed
-- here or in the views; the last section shows the contacts that a cleaning with the first fences would leave out.
-- grain: one row per month and label, then one per label, then one per contact
-- param: by text in (queue, topic, channel) = queue  # what has handle times of its own
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: first interval > 0 = 3 months    # the time from which the fences are
-- param: k float >= 0 = 1.5               # interquartile ranges from the quartiles to the fences; 3 for far outliers
-- param: usual_ratio float > 0 = 0.05     # the share from which on an outlier is usual
-- param: min_contact_count integer >= 1 = 20  # fewer in a month, or at first: not judged
-- param: max_rows integer >= 1 = 50       # how many contacts to list
-- section: By month
-- chart: line x=month y=outlier_ratio series=label partial=is_partial base=contact_count format=percent
-- check: outlier_ratio between 0 and 1
-- check: outlier_count <= contact_count
-- check: low_limit_s <= high_limit_s
with handled as (
    select
        case $by when 'topic' then topic when 'channel' then channel else queue end as label,
        cast(date_trunc('month', started_at) as date) as month,
        started_at, handle_s, ln(1 + cast(handle_s as double)) as log_handle
    from contacts_clean
    where handle_s is not null and started_at >= $since and started_at < $until
),
dated as (
    select *, min(month) over (partition by label) as first_month from handled where label is not null
),
quartiles as (
    select
        label,
        count(*) as first_count,
        percentile_cont(0.25) within group (order by log_handle) as lower,
        percentile_cont(0.75) within group (order by log_handle) as upper
    from dated
    where started_at < first_month + $first
    group by label
),
judged as (
    select
        dated.*,
        first_count >= $min_contact_count as is_judged,
        lower - $k * (upper - lower) as low_fence,
        upper + $k * (upper - lower) as high_fence,
        tukey_outlier(log_handle, $k) over (partition by dated.label, month) as is_outlier_of_month
    from dated inner join quartiles on quartiles.label = dated.label
),
by_month as (
    select
        month, label, count(*) as contact_count,
        count(*) filter (where log_handle < low_fence or log_handle > high_fence) as outlier_count,
        rate(log_handle < low_fence or log_handle > high_fence) as outlier_ratio,
        rate(is_outlier_of_month) as month_outlier_ratio,
        percentile_cont(0.5) within group (order by cast(handle_s as double)) as median_s,
        greatest(exp(min(low_fence)) - 1, 0) as low_limit_s,
        exp(min(high_fence)) - 1 as high_limit_s
    from judged
    where is_judged
    group by month, label
),
compared as (
    select
        *,
        max(month) filter (where contact_count >= $min_contact_count and outlier_ratio < $usual_ratio)
            over (partition by label) as last_unusual_month
    from by_month
),
bounds as (
    select greatest(covered_from, $since) as covered_from, least(covered_until, $until) as covered_until
    from covered_period
)
select
    month, label, contact_count, outlier_count, outlier_ratio, month_outlier_ratio, median_s, low_limit_s, high_limit_s,
    contact_count >= $min_contact_count and outlier_ratio >= $usual_ratio
        and coalesce(month > last_unusual_month, true) as is_usual,
    month < covered_from or month + interval '1 month' > covered_until as is_partial
from compared cross join bounds
order by month, label;

-- section: Since when they are usual
-- chart: bar x=label y=first_outlier_ratio,newest_outlier_ratio format=percent
-- check: newest_outlier_ratio between 0 and 1
-- check: usual_since > first_month
-- alert: count(usual_since) > 0
with handled as (
    select
        case $by when 'topic' then topic when 'channel' then channel else queue end as label,
        cast(date_trunc('month', started_at) as date) as month,
        started_at, ln(1 + cast(handle_s as double)) as log_handle
    from contacts_clean
    where handle_s is not null and started_at >= $since and started_at < $until
),
dated as (
    select *, min(month) over (partition by label) as first_month from handled where label is not null
),
quartiles as (
    select
        label,
        count(*) as first_count,
        percentile_cont(0.25) within group (order by log_handle) as lower,
        percentile_cont(0.75) within group (order by log_handle) as upper
    from dated
    where started_at < first_month + $first
    group by label
),
judged as (
    select
        dated.*,
        upper + $k * (upper - lower) as high_fence,
        log_handle < lower - $k * (upper - lower) or log_handle > upper + $k * (upper - lower) as is_outlier
    from dated inner join quartiles on quartiles.label = dated.label
    where first_count >= $min_contact_count
),
by_month as (
    select
        label, month, first_month, count(*) as contact_count, exp(min(high_fence)) - 1 as high_limit_s,
        count(*) filter (where is_outlier) as outlier_count, rate(is_outlier) as outlier_ratio
    from judged
    group by label, month, first_month
),
compared as (
    select
        *,
        max(month) filter (where outlier_ratio < $usual_ratio) over (partition by label) as last_unusual_month
    from by_month
    where contact_count >= $min_contact_count
),
by_label as (
    select
        label, first_month, count(*) as month_count, sum(contact_count) as contact_count,
        sum(outlier_count) as outlier_count, min(high_limit_s) as high_limit_s,
        first_value(outlier_ratio order by month) as first_outlier_ratio,
        last_value(outlier_ratio order by month) as newest_outlier_ratio,
        min(month) filter (where month > last_unusual_month) as usual_since,
        trend_test(month, outlier_ratio) as trend,
        changepoints(month, outlier_ratio) as changes
    from compared
    group by label, first_month
)
select
    label,
    first_month,
    month_count,
    contact_count,
    outlier_count,
    high_limit_s,
    first_outlier_ratio,
    newest_outlier_ratio,
    usual_since,
    30.4 * trend['estimate'] as change_per_month_ratio,
    trend['p_value'] as trend_p_value,
    case when array_element(changes['changes'], -1)['p_value'] < 0.05
        then array_element(changes['changes'], -1)['next_at'] end as newest_change_month
from by_label
order by newest_outlier_ratio desc, label;

-- section: Contacts that the first fences would leave out
-- check: handle_s < low_limit_s + 1e-6 or handle_s > high_limit_s - 1e-6
with handled as (
    select
        case $by when 'topic' then topic when 'channel' then channel else queue end as label,
        cast(date_trunc('month', started_at) as date) as month,
        interaction_id, agent_id, started_at, handle_s, ln(1 + cast(handle_s as double)) as log_handle
    from contacts_clean
    where handle_s is not null and started_at >= $since and started_at < $until
),
dated as (
    select *, min(month) over (partition by label) as first_month from handled where label is not null
),
quartiles as (
    select
        label,
        count(*) as first_count,
        percentile_cont(0.25) within group (order by log_handle) as lower,
        percentile_cont(0.75) within group (order by log_handle) as upper
    from dated
    where started_at < first_month + $first
    group by label
),
judged as (
    select
        dated.*,
        lower - $k * (upper - lower) as low_fence,
        upper + $k * (upper - lower) as high_fence,
        tukey_outlier(log_handle, $k) over (partition by dated.label, month) as is_outlier_of_month
    from dated inner join quartiles on quartiles.label = dated.label
    where first_count >= $min_contact_count
)
select
    interaction_id,
    label,
    agent_id,
    started_at,
    handle_s,
    greatest(exp(low_fence) - 1, 0) as low_limit_s,
    exp(high_fence) - 1 as high_limit_s,
    is_outlier_of_month
from judged
where log_handle < low_fence or log_handle > high_fence
order by greatest(low_fence - log_handle, log_handle - high_fence) desc, interaction_id, started_at
limit $max_rows;

-- notes: labels that are not judged
with handled as (
    select
        case $by when 'topic' then topic when 'channel' then channel else queue end as label,
        date_trunc('month', started_at) as month,
        started_at
    from contacts_clean
    where handle_s is not null and started_at >= $since and started_at < $until
),
dated as (
    select *, min(month) over (partition by label) as first_month from handled
),
by_label as (
    select label, count(*) as contact_count, count(*) filter (where started_at < first_month + $first) as first_count
    from dated
    group by label
),
figures as (
    select
        coalesce(sum(contact_count), 0) as all_count,
        coalesce(sum(contact_count) filter (where label is null), 0) as unlabelled_count,
        count(label) as label_count,
        count(*) filter (where label is not null and first_count < $min_contact_count) as short_count
    from by_label
)
select unnest([
    case when unlabelled_count > 0 then
        unlabelled_count || ' of ' || all_count || ' contacts with a handle time have no ' || $by
        || ': they are not judged'
    end,
    case when short_count > 0 then
        short_count || ' of ' || label_count || ' values of ' || $by || ' have fewer than ' || $min_contact_count
        || ' contacts in their first months: they are not judged'
    end
])
from figures
