-- ours
select abandonment_rate(is_abandoned) as value from interactions;

-- built-in
select avg(case when is_abandoned then 1.0 when not is_abandoned then 0.0 end) as value from interactions
