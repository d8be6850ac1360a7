select
    channel,
    queue,
    count(*) as answer_count,
    count(*) filter (score between 4 and 5) / nullif(count(*) filter (score between 1 and 5), 0) as csat_ratio
from surveys
inner join interactions on interactions.interaction_id = surveys.interaction_id
where kind = 'csat'
group by channel, queue
order by channel, queue
