-- title: Survey answers with their contact
-- description: Each survey answer with the labels of the contact that it is about.
-- They are NULL when that contact is not known.
-- grain: one row per survey_id
with contacts as (
    select interaction_id, started_at, channel, queue, team, topic, product, agent_id
    from contacts_clean
    where interaction_id is not null
)
select
    surveys_clean.survey_id,
    surveys_clean.interaction_id,
    surveys_clean.customer_id,
    surveys_clean.responded_at,
    surveys_clean.kind,
    surveys_clean.score,
    surveys_clean.comment,
    surveys_clean.language,
    contacts.started_at,
    contacts.channel,
    contacts.queue,
    contacts.team,
    contacts.topic,
    contacts.product,
    contacts.agent_id
from surveys_clean
left join contacts on contacts.interaction_id = surveys_clean.interaction_id
