-- title: Label synonyms
-- description: Labels that mean the same, each with its standard form, in lower case with single blanks.
-- A project adds its own by a file of this name in its sql/views folder.
-- grain: one row per label
-- check: label <> standard_label
select column1 as label, column2 as standard_label
from (
    values
        ('voice', 'phone'),
        ('telephone', 'phone'),
        ('e-mail', 'email'),
        ('e mail', 'email'),
        ('live chat', 'chat'),
        ('webchat', 'chat'),
        ('web chat', 'chat'),
        ('social media', 'social'),
        ('tech support', 'technical support'),
        ('billing issue', 'billing'),
        ('cancelation', 'cancellation'),
        ('log in', 'login')
) as synonyms
