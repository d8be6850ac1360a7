-- ours
select count(*) as row_count, count(score) as known_count, max(score) as score_max
from (select zscore(talk_s) over () as score from interactions);

-- built-in
select count(*) as row_count, count(score) as known_count, max(score) as score_max
from (
    select
        (talk_s - avg(talk_s) over ())
        / nullif(stddev(talk_s) over (), 0) as score
    from interactions
)
