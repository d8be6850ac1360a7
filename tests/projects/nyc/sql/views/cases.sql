-- title: Cases
-- description: Each case once, with typed days.
-- 105 keys occur twice, once with and once without the place; the row with a borough and a district wins. A zip that
-- is not of five digits is NULL.
-- grain: one row per case
-- check: closed_on >= opened_on
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
qualify row_number() over (
    partition by unique_key
    order by
        nullif(trim(borough), '') nulls last,
        nullif(trim(council_dist), '') nulls last,
        nullif(trim(closedate), '') nulls last,
        complaint_type,
        descriptor
) = 1
