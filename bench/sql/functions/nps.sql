-- ours
select nps(score) as value from surveys;

-- built-in
select
    100 * avg(case when score between 9 and 10 then 1.0 when score between 0 and 6 then -1.0 when score between 7 and 8 then 0.0 end) as value
from surveys
