-- title: Label synonyms
-- description: Labels that mean the same, each with its standard form, per column of interactions.
-- Both are in lower case with single blanks, as contacts_clean writes labels before it looks here. A project has its
-- own by a file of this name in its sql/views folder.
-- grain: one row per column and label
-- check: label <> standard_label
select column1 as column_name, column2 as label, column3 as standard_label
from (
    values
        ('channel', 'voice', 'phone'),
        ('channel', 'call', 'phone'),
        ('channel', 'telephone', 'phone'),
        ('channel', 'e mail', 'email'),
        ('channel', 'mail', 'email'),
        ('channel', 'live chat', 'chat'),
        ('channel', 'webchat', 'chat'),
        ('channel', 'web chat', 'chat'),
        ('channel', 'social media', 'social'),
        ('topic', 'accounts', 'account'),
        ('topic', 'billing issue', 'billing'),
        ('topic', 'cancelation', 'cancellation'),
        ('topic', 'return', 'returns'),
        ('topic', 'tech support', 'technical support')
) as synonyms
