-- ours
select count(*) as row_count, count(score) as known_count, max(score) as score_max
from (select zscore(talk_s) over (partition by agent_id) as score from interactions);

-- built-in
select count(*) as row_count, count(score) as known_count, max(score) as score_max
from (
    select
        (talk_s - avg(talk_s) over (partition by agent_id))
        / nullif(stddev(talk_s) over (partition by agent_id), 0) as score
    from interactions
)
