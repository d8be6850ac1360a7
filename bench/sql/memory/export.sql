select * from interactions
union all
select * from interactions
