-- title: Survey answers with their contact
-- description: Each survey answer with the labels of the contact that it is about.
-- They are NULL when that contact is not known, or when the key that the answer names stands for several contacts.
-- grain: one row per survey_id and kind
with contacts as (
    select interaction_id, started_at, channel, queue, team, topic, product, agent_id, is_answered
    from contacts_clean
    where interaction_id is not null and not is_key_shared
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
    contacts.agent_id,
    contacts.is_answered
from surveys_clean
left join contacts on contacts.interaction_id = surveys_clean.interaction_id
