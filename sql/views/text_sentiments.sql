-- title: Sentiment of texts
-- description: Every text of a contact and every survey comment with its sentiment from -1 to 1.
-- A text without a language is read as English. sentiment is NULL where the language or the script cannot be read.
-- grain: one row per text
-- check: sentiment between -1 and 1
with texts as (
    select 'contact' as source, interaction_id, topic, product, agent_id, started_at as written_at, text, language
    from contacts_clean
    union all
    select 'survey', interaction_id, topic, product, agent_id, responded_at, comment, language
    from survey_contacts
)
select
    source,
    interaction_id,
    topic,
    product,
    agent_id,
    written_at,
    language,
    sentiment(text, coalesce(nullif(lower(trim(language)), ''), 'en')) as sentiment
from texts
where trim(text) <> ''
