-- param: a interval
-- param: b list of integer = 1, 2
-- chart: heatmap x=a y=b value=c
-- alert: max(x) > 5 group by queue
select $a as x, $b as queue, "quo""ted", 'te''xt', e'\n', $$body$$ /* a /* nested */ comment */ -- note
