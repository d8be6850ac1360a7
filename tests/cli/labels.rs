//! Standard labels: the synonyms of the project, of several the first, in views, reports and statements.
//!
//! Expected values are worked out by hand.

use super::program::Folder;

const CONTACTS: &str = "interaction_id,customer_id,started_at,channel,topic\n\
    I1,C1,2025-03-03T10:00:00,Hotline,Rechnung\n\
    I2,C2,2025-03-03T11:00:00,voice, rechnung\n\
    I3,C3,2025-03-03T12:00:00,chat,BILLING\n\
    I4,C4,2025-03-03T13:00:00,,\n\
    I5,C5,2025-03-03T14:00:00,E-Mail,invoice\n";

/// A project with synonyms of its own in a table: two for `rechnung`, one without a standard label.
fn project() -> Folder {
    Folder::with(&[
        ("cxql.toml", "[tables.interactions]\npath = \"contacts.csv\"\n[tables.synonyms]\npath = \"synonyms.csv\"\n"),
        ("data/contacts.csv", CONTACTS),
        (
            "data/synonyms.csv",
            "part,variant,standard\nchannel,hotline,phone\ntopic,rechnung,invoice\ntopic,rechnung,billing\n\
             topic,invoice,\ntopic,billing,payment\n",
        ),
        (
            "sql/views/label_synonyms.sql",
            "-- title: Synonyms\n-- grain: one row per label\n\
             select part as column_name, variant as label, standard as standard_label from synonyms\n",
        ),
    ])
}

#[test]
fn a_project_has_its_own_synonyms() {
    let folder = project();
    let ran = folder.query("select interaction_id as id, channel, topic from contacts_clean order by id");
    // its file replaces the shipped one: voice stays. Of two standard labels the first counts, and no row is doubled; a standard
    // label is not looked up again
    assert_eq!(
        ran.out(),
        "id,channel,topic\nI1,phone,billing\nI2,voice,billing\nI3,chat,payment\nI4,,\nI5,e mail,invoice\n"
    );
    let note = "note: topic \"rechnung\" has 2 standard labels in label_synonyms: \"billing\" is used";
    assert!(ran.err.lines().any(|line| line == note), "{ran:?}");
    let text = folder.cxql(&["check", "contacts_clean"]).out();
    assert!(text.contains("topic \"rechnung\" has 2 standard labels"), "{text}");
}

#[test]
fn the_function_works_wherever_a_value_does() {
    let folder = project();
    for (sql, expected) in [
        ("select standard_label('topic', 'rechnung') as l", "l\nbilling\n"),
        ("select standard_label('topic', null) as l, standard_label('team', 'rechnung') as m", "l,m\n,rechnung\n"),
        (
            "select standard_label(label => lower(channel), column_name => 'channel') as l from interactions where interaction_id = 'I1'",
            "l\nphone\n",
        ),
        (
            "select count(*) as n from interactions where standard_label('topic', lower(trim(topic))) = 'billing'",
            "n\n2\n",
        ),
        (
            "select standard_label('topic', lower(trim(topic))), count(*) as n from interactions \
             group by standard_label('topic', lower(trim(topic))) order by n desc, 1 limit 1",
            "\"standard_label('topic', lower(trim(topic)))\",n\nbilling,2\n",
        ),
        (
            "with label_synonyms as (select 1 as x) \
             select max(standard_label(part, variant)) as l from synonyms cross join label_synonyms where part = 'channel'",
            "l\nphone\n",
        ),
        (
            "select a.interaction_id as id from interactions as a inner join interactions as b \
             on standard_label('topic', lower(a.topic)) = standard_label('topic', lower(b.topic)) and a.interaction_id < b.interaction_id",
            "id\n",
        ),
        (
            "select id, standard_label('topic', t) as l from (values (1, 'rechnung'), (2, 'x')) as v (id, t) \
             order by standard_label('topic', t) desc",
            "id,l\n2,x\n1,billing\n",
        ),
        (
            "select t, (select max(standard_label('topic', lower(topic))) from interactions where channel = v.t) as l \
             from (values ('Hotline')) as v (t)",
            "t,l\nHotline,billing\n",
        ),
        (
            "select t, sum(count(*)) over () as n from (select standard_label('topic', lower(trim(topic))) as t from interactions) as a \
             group by t having t = 'billing'",
            "t,n\nbilling,2\n",
        ),
    ] {
        assert_eq!(folder.query(sql).out(), expected, "{sql}");
    }
    folder.query("select standard_label('topic')").fails(1, &["standard_label", "wanted 2"]);
    folder.query("select standard_label('topic', 7)").fails(1, &["standard_label", "label must be a string"]);
}

#[test]
fn synonyms_that_need_themselves_are_a_circle() {
    let folder = project();
    folder.write(
        "sql/views/label_synonyms.sql",
        "select part as column_name, standard_label('topic', variant) as label, standard as standard_label from synonyms\n",
    );
    folder
        .query("select standard_label('topic', 'a')")
        .fails(1, &["views need one another in a circle", "label_synonyms"]);
}

#[test]
fn thousands_of_synonyms_are_looked_up() {
    let folder = Folder::with(&[(
        "sql/views/label_synonyms.sql",
        "select 'topic' as column_name, 'variant ' || n as label, 'standard ' || (n % 7) as standard_label \
         from (select unnest(range(0, 5000)) as n) as numbers\n",
    )]);
    // 20,000 labels, of which the first 5,000 have one of seven standard labels
    let sql = "select count(distinct standard_label('topic', 'variant ' || n)) as labels, \
               count(*) filter (where standard_label('topic', 'variant ' || n) = 'standard 3') as threes \
               from (select unnest(range(0, 20000)) as n) as numbers";
    // 15,000 + 7; n % 7 = 3 for n = 3, 10, .., 4,994: 714
    assert_eq!(folder.query(sql).out(), "labels,threes\n15007,714\n");
}
