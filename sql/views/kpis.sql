-- title: The figures of the KPI overview
-- description: Position, name and unit of each figure that the KPI overview shows.
-- grain: one row per figure
select column1 as position, column2 as kpi, column3 as unit
from (
    values
        (1, 'contacts', 'count'),
        (2, 'customers', 'count'),
        (3, 'first-contact resolution', 'ratio'),
        (4, 'repeat rate', 'ratio'),
        (5, 'logged as resolved', 'ratio'),
        (6, 'transfer rate', 'ratio'),
        (7, 'abandonment rate', 'ratio'),
        (8, 'service level', 'ratio'),
        (9, 'average speed of answer', 'seconds'),
        (10, 'average handle time', 'seconds'),
        (11, 'net promoter score', 'points'),
        (12, 'customer satisfaction', 'ratio'),
        (13, 'customer effort', 'score'),
        (14, 'open contacts', 'count')
) as figures
