select queue, kind, count(*) as answer_count, avg(score) as score_avg
from surveys
join interactions on surveys.interaction_id = interactions.interaction_id
group by queue, kind
order by queue, kind
