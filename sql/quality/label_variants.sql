-- title: Label variants
-- description: Labels that differ only in case, blanks, hyphens or a known synonym, and their standard form.
-- Variants come from the raw table. The one that most contacts have is is_main.
-- grain: one row per column and raw label that has a variant
-- check: contact_count > 0
-- check: contact_ratio between 0 and 1
-- check: variant_count > 1
-- alert: count(*) > 0
with labels as (
    select 'channel' as column_name, channel as label, count(*) as contact_count from interactions group by channel
    union all
    select 'queue', queue, count(*) from interactions group by queue
    union all
    select 'team', team, count(*) from interactions group by team
    union all
    select 'topic', topic, count(*) from interactions group by topic
    union all
    select 'product', product, count(*) from interactions group by product
),
normal as (
    select *, nullif(lower(trim(regexp_replace(label, '[\s_-]+', ' ', 'g'))), '') as normal_label
    from labels
    where label is not null
),
standard as (
    select column_name, label, contact_count, standard_label(column_name, normal_label) as standard_label
    from normal
),
grouped as (
    select
        *,
        count(*) over variants as variant_count,
        contact_count / cast(sum(contact_count) over variants as double) as contact_ratio,
        row_number() over (
            partition by column_name, standard_label order by contact_count desc, label
        ) = 1 as is_main
    from standard
    window variants as (partition by column_name, standard_label)
)
select column_name, standard_label, label, is_main, contact_count, contact_ratio, variant_count
from grouped
where variant_count > 1
order by column_name, standard_label, contact_count desc, label
