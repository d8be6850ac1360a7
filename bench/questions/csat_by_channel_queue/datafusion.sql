select
    channel,
    queue,
    count(*) as answer_count,
    avg(case when score between 4 and 5 then 1.0 when score between 1 and 3 then 0.0 end) as csat_ratio
from surveys
inner join interactions on interactions.interaction_id = surveys.interaction_id
where kind = 'csat'
group by channel, queue
order by channel, queue
