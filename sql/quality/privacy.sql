-- title: Personal data
-- description: Personal data in texts by kind, and how few customers share what somebody could be known by.
-- The first section counts what find_pii finds with at least min_confidence in texts of contacts and comments of surveys;
-- the texts themselves are not shown. In the second one a combination of columns is k-anonymous when at least k customers
-- share each of its values: single_count customers are the only ones of theirs.
-- grain: one row per table, column and kind, then one per combination of columns
-- param: k integer >= 1 = 5               # customers that must share a combination at least
-- param: min_confidence float >= 0 = 0.5  # from 0 to 1, leave out what is less certain
-- section: In texts
-- chart: bar x=kind y=found_ratio series=column_name format=percent
-- check: found_ratio between 0 and 1
-- check: text_with_count <= text_count and text_with_count <= found_count
-- alert: max(found_ratio) > 0.01
with texts as (
    select 'interactions' as table_name, 'text' as column_name, text from interactions where text is not null
    union all
    select 'surveys', 'comment', comment from surveys where comment is not null
),
numbered as (
    select table_name, column_name, text, row_number() over () as text_number from texts
),
counts as (
    select table_name, column_name, count(*) as text_count from texts group by table_name, column_name
),
found as (
    select table_name, column_name, text_number, unnest(find_pii(text)) as item from numbered
),
by_kind as (
    select
        table_name,
        column_name,
        item['kind'] as kind,
        count(*) as found_count,
        count(distinct text_number) as text_with_count
    from found
    where item['confidence'] >= $min_confidence
    group by table_name, column_name, kind
)
select
    counts.table_name,
    counts.column_name,
    coalesce(kind, 'none') as kind,
    coalesce(found_count, 0) as found_count,
    coalesce(text_with_count, 0) as text_with_count,
    text_count,
    coalesce(text_with_count, 0) / cast(text_count as double) as found_ratio
from counts
left join by_kind on by_kind.table_name = counts.table_name and by_kind.column_name = counts.column_name
order by found_ratio desc, counts.table_name, counts.column_name, kind;

-- section: Customers by combinations
-- chart: bar x=combination y=small_row_ratio format=percent
-- check: small_row_ratio between 0 and 1
-- check: is_anonymous = (small_group_count = 0)
-- check: single_count <= small_row_count or small_row_count = 0
-- alert: max(small_row_ratio) > 0.05
with people as (
    select customer_id, region, city, segment, date_part('year', birth_date) as birth_year, birth_date
    from (select distinct customer_id, region, city, segment, birth_date from customers) as distinct_customers
),
combinations as (
    select 'region' as combination, k_anonymous(region, $k) as verdict, k_anonymous(region, 2) as alone from people
    union all
    select 'region, segment', k_anonymous(struct(region, segment), $k), k_anonymous(struct(region, segment), 2) from people
    union all
    select 'city, segment', k_anonymous(struct(city, segment), $k), k_anonymous(struct(city, segment), 2) from people
    union all
    select 'city, birth year', k_anonymous(struct(city, birth_year), $k), k_anonymous(struct(city, birth_year), 2) from people
    union all
    select 'region, birth date', k_anonymous(struct(region, birth_date), $k), k_anonymous(struct(region, birth_date), 2)
    from people
    union all
    select 'city, segment, birth date', k_anonymous(struct(city, segment, birth_date), $k),
        k_anonymous(struct(city, segment, birth_date), 2)
    from people
)
select
    combination,
    verdict['is_anonymous'] as is_anonymous,
    verdict['smallest_count'] as smallest_count,
    verdict['group_count'] as group_count,
    verdict['small_group_count'] as small_group_count,
    verdict['small_row_count'] as small_row_count,
    alone['small_row_count'] as single_count,
    verdict['n'] as customer_count,
    verdict['small_row_count'] / nullif(cast(verdict['n'] as double), 0) as small_row_ratio
from combinations
order by small_row_ratio, combination
