-- title: A
-- check: a in (1, 2)
select 1 as a