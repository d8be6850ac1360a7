select
    date_trunc('month', arrow_cast(responded_at, 'Timestamp(Microsecond, None)')) as month,
    product,
    count(*) as answer_count,
    100 * avg(case when score between 9 and 10 then 1.0 when score between 0 and 6 then -1.0 when score between 7 and 8 then 0.0 end) as nps
from surveys
inner join interactions on interactions.interaction_id = surveys.interaction_id
where kind = 'nps'
group by 1, product
order by 1, product
