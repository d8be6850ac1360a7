-- title: Cases by month
-- description: Cases opened in each month, in all and by borough.
-- grain: one row per month, then one per month and borough
-- section: By month
-- chart: line x=month y=case_count
-- check: case_count > 0
select cast(date_trunc('month', started_at) as date) as month, count(*) as case_count
from contacts_clean
group by cast(date_trunc('month', started_at) as date)
order by month;

-- section: By month and borough
-- chart: area x=month y=case_count series=borough
-- check: case_count > 0
select cast(date_trunc('month', started_at) as date) as month, borough, count(*) as case_count
from contacts_clean
group by cast(date_trunc('month', started_at) as date), borough
order by month, borough
