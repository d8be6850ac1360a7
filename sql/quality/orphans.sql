-- title: Dangling references
-- description: Rows that name a contact, customer or agent that its own table does not have.
-- A reference to an empty or absent table is not checked. Answers of the first days may be about contacts from before
-- the data begins.
-- grain: one row per reference, then one per missing customer of contacts
-- param: max_rows integer >= 1 = 50       # how many missing customers to list
-- section: By reference
-- chart: bar x=column_name y=orphan_ratio series=table_name format=percent
-- check: orphan_ratio between 0 and 1
-- alert: max(orphan_ratio) > 0.01
select
    table_name,
    column_name,
    checked_count as row_count,
    affected_count as orphan_count,
    affected_count / cast(checked_count as double) as orphan_ratio
from quality_orphans
order by orphan_ratio desc, table_name, column_name;

-- section: Surveys and their contacts
-- check: survey_count > 0
-- check: other_customer_count <= survey_count
with answers as (
    select
        surveys.kind,
        surveys.responded_at,
        surveys.customer_id,
        contacts_clean.interaction_id is not null as is_found,
        contacts_clean.customer_id as contact_customer_id,
        contacts_clean.started_at
    from surveys
    left join contacts_clean on contacts_clean.interaction_id = surveys.interaction_id
)
select
    lower(trim(kind)) as kind,
    count(*) as survey_count,
    count(*) filter (where not is_found) as without_contact_count,
    count(*) filter (where customer_id <> contact_customer_id) as other_customer_count,
    count(*) filter (where responded_at < started_at) as before_contact_count
from answers
group by lower(trim(kind))
order by kind;

-- section: Missing customers
-- check: contact_count > 0
with known as (
    select distinct customer_id from customers where customer_id is not null
)
select interactions.customer_id, count(*) as contact_count, min(started_at) as first_contact_at
from interactions
left join known on known.customer_id = interactions.customer_id
where interactions.customer_id is not null and known.customer_id is null and (select count(*) from known) > 0
group by interactions.customer_id
order by contact_count desc, interactions.customer_id
limit $max_rows
