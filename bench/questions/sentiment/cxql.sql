-- tolerance: 1e-6
-- the answers up to a fixed number: the package for Python is slow
select kind, score, count(*) as comment_count, avg(sentiment(comment)) as sentiment_avg
from surveys
where language = 'en' and comment is not null and score between 0 and 10 and survey_id <= 'S00100000'
group by kind, score
order by kind, score
