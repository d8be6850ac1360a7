-- ours
select abandonment_rate(is_abandoned, wait_s, 5) as value from interactions;

-- built-in
select
    avg(case when not is_abandoned then 0.0 when is_abandoned and wait_s > 5 then 1.0 end) as value
from interactions
