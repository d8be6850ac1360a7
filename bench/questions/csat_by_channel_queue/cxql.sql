select channel, queue, count(*) as answer_count, csat(score) as csat_ratio
from surveys
inner join interactions on interactions.interaction_id = surveys.interaction_id
where kind = 'csat'
group by channel, queue
order by channel, queue
