-- title: Data quality
-- description: What is wrong in the data before any cleaning, with duplicates, missing, impossible and dangling values.
-- Shows the raw tables. Checks with nothing to check are left out.
-- grain: one row per table, column and check
-- param: min_ratio float >= 0 = 0         # leave out checks that affect a smaller share
-- section: All checks
-- chart: bar x=check_name y=affected_ratio series=table_name format=percent
-- check: affected_ratio between 0 and 1
-- check: affected_count between 0 and checked_count
-- alert: max(affected_ratio) filter (where check_name <> 'missing') > 0.02
with findings as (
    select table_name, column_name, check_name, affected_count, checked_count from quality_duplicates
    union all
    select table_name, column_name, check_name, affected_count, checked_count from quality_missing
    union all
    select table_name, column_name, check_name, affected_count, checked_count from quality_impossible
    union all
    select table_name, column_name, check_name, affected_count, checked_count from quality_orphans
),
with_ratio as (
    select *, affected_count / cast(checked_count as double) as affected_ratio from findings where checked_count > 0
)
select table_name, column_name, check_name, affected_count, checked_count, affected_ratio
from with_ratio
where affected_ratio >= $min_ratio
order by affected_ratio desc, table_name, column_name, check_name
