-- title: Cases
-- description: Each case once, with typed days.
-- 105 keys occur twice, with and without the place of the case; the row with a borough wins. A zip that is not of five
-- digits is NULL.
-- grain: one row per case
-- check: closed_on >= opened_on
with typed as (
    select
        unique_key,
        account,
        cast(nullif(trim(opendate), '') as date) as opened_on,
        cast(nullif(trim(closedate), '') as date) as closed_on,
        nullif(trim(complaint_type), '') as complaint_type,
        nullif(trim(descriptor), '') as descriptor,
        case when zip ~ '^[0-9]{5}$' then zip end as zip,
        nullif(trim(borough), '') as borough
    from cases_export
),
repeated as (
    select unique_key from typed group by unique_key having count(*) > 1
),
single as (
    select * from typed where not exists (select 1 from repeated where repeated.unique_key = typed.unique_key)
),
versions as (
    select
        *,
        row_number() over (partition by unique_key order by borough nulls last, zip nulls last) as version
    from typed
    where unique_key in (select unique_key from repeated)
)
select * from single
union all
select * exclude (version) from versions where version = 1
