-- ours
select csat(score) as value from surveys;

-- built-in
select
    avg(case when score between 4 and 5 then 1.0 when score between 1 and 3 then 0.0 end) as value
from surveys
