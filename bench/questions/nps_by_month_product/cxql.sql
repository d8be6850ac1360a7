select
    date_trunc('month', responded_at) as month,
    product,
    count(*) as answer_count,
    nps(score) as nps
from surveys
inner join interactions on interactions.interaction_id = surveys.interaction_id
where kind = 'nps'
group by month, product
order by month, product
