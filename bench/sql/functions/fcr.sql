-- ours
select fcr(is_resolved) as value from interactions;

-- built-in
select avg(case when is_resolved then 1.0 when not is_resolved then 0.0 end) as value from interactions
