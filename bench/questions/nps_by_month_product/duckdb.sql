-- make_timestamp: truncating a timestamp with a zone goes through calendars
select
    date_trunc('month', make_timestamp(epoch_us(responded_at))) as month,
    product,
    count(*) as answer_count,
    100 * (count(*) filter (score between 9 and 10) - count(*) filter (score between 0 and 6))
        / count(*) filter (score between 0 and 10) as nps
from surveys
inner join interactions on interactions.interaction_id = surveys.interaction_id
where kind = 'nps'
group by month, product
order by month, product
