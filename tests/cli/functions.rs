//! Wrong calls of our functions: function, argument, got, wanted, at planning. And the page of each function.

use super::program::Folder;

/// An expression over `interactions` joined with nothing, and what the message must say.
const CALLS: [(&str, &[&str]); 34] = [
    ("nps(topic)", &["nps", "score", "number"]),
    ("nps()", &["nps", "1 argument", "0"]),
    ("nps(wait_s, 1, 2, 3)", &["nps", "1 argument", "4"]),
    ("csat(topic)", &["csat", "score", "number"]),
    ("csat(wait_s, satisfied_from => 'x')", &["csat", "satisfied_from", "number"]),
    ("csat(wait_s, satisfied => 4)", &["satisfied", "satisfied_from"]),
    ("csat(wait_s, talk_s)", &["csat", "satisfied_from", "constant"]),
    ("rate(wait_s)", &["rate", "flag", "boolean"]),
    ("rate()", &["rate", "flag"]),
    ("fcr(wait_s)", &["fcr", "flag", "boolean"]),
    ("fcr(is_resolved, 1)", &["fcr", "2"]),
    ("service_level(topic, is_abandoned, 20)", &["service_level", "wait_s", "number"]),
    ("service_level(wait_s, topic, 20)", &["service_level", "is_abandoned", "boolean"]),
    ("service_level(wait_s, is_abandoned, -5)", &["service_level", "threshold_s", ">= 0", "-5"]),
    ("service_level(wait_s, is_abandoned, talk_s)", &["service_level", "threshold_s", "constant", "talk_s"]),
    ("service_level(wait_s, is_abandoned, 20, 'offred')", &["service_level", "dialect", "offered", "'offred'"]),
    ("service_level(wait_s, is_abandoned, threshold => 20)", &["threshold", "threshold_s"]),
    ("aht(topic, hold_s, wrap_s)", &["aht", "talk_s", "number"]),
    ("aht()", &["aht", "talk_s"]),
    ("abandonment_rate(wait_s)", &["abandonment_rate", "is_abandoned", "boolean"]),
    ("abandonment_rate(is_abandoned, wait_s, -1)", &["abandonment_rate", "short_abandon_s", "-1"]),
    ("first_contact_resolved(started_at) over (order by started_at)", &["first_contact_resolved", "window", "1"]),
    (
        "first_contact_resolved(topic, interval '7 days') over (order by started_at)",
        &["first_contact_resolved", "at", "timestamp"],
    ),
    (
        "first_contact_resolved(started_at, 7) over (order by started_at)",
        &["first_contact_resolved", "window", "interval"],
    ),
    (
        "first_contact_resolved(started_at, interval '-7 days') over (order by started_at)",
        &["first_contact_resolved", "window", ">= 0", "-7 days"],
    ),
    ("first_contact_resolved(started_at, interval '7 days')", &["first_contact_resolved", "window function", "over"]),
    ("is_repeat_contact(started_at, 7) over (order by started_at)", &["is_repeat_contact", "window", "interval"]),
    ("is_repeat_contact(started_at, interval '7 days')", &["is_repeat_contact", "window function", "over"]),
    ("zscore(topic) over ()", &["zscore", "text"]),
    ("zscore(wait_s)", &["zscore", "window function", "over"]),
    ("modified_zscore(wait_s, 3) over ()", &["modified_zscore", "1", "2"]),
    ("modified_zscore(wait_s)", &["modified_zscore", "window function", "over"]),
    ("sentiment(wait_s)", &["sentiment", "text"]),
    ("sentiment_label(text, 'klingon')", &["sentiment_label", "language", "'klingon'", "'en'"]),
];

#[test]
fn a_wrong_call_names_function_argument_got_and_wanted() {
    let folder = Folder::new();
    let mut faults = Vec::new();
    for (call, wanted) in CALLS {
        let ran = folder.sampled(&format!("select {call} as x from interactions"));
        let missing: Vec<_> = wanted.iter().filter(|part| !ran.err.contains(**part)).collect();
        if ran.code != 1 || !missing.is_empty() || !ran.err.contains("<query>:1:") || !ran.text().is_empty() {
            faults.push(format!("{call}: code {}, not said {missing:?}\n{}{}", ran.code, ran.text(), ran.err));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_wrong_call_is_marked_at_its_name() {
    let folder = Folder::new();
    folder.sampled("select topic,\n  nps(topic) as x from interactions").fails(1, &["<query>:2:3"]).points_at("nps");
    let ran = folder.sampled("select csat(wait_s, satisfied => 4) as x from interactions");
    ran.fails(1, &["<query>:1:21"]).points_at("satisfied");
}

#[test]
fn every_function_has_a_page() {
    let folder = Folder::new();
    let list = folder.cxql(&["functions"]).out();
    let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let lines = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = lines.filter_map(|line| line.split_whitespace().next()).filter(is_name).collect();
    let wanted = [
        "nps",
        "csat",
        "rate",
        "fcr",
        "fcr_survival",
        "fcr_survival_error",
        "first_contact_resolved",
        "is_repeat_contact",
        "service_level",
        "aht",
        "abandonment_rate",
        "zscore",
        "modified_zscore",
        "sentiment",
        "sentiment_label",
        "standard_label",
    ];
    for name in wanted {
        assert!(names.contains(&name), "`{name}` is not in\n{list}");
    }
    for name in names {
        let page = folder.cxql(&["functions", name]).out();
        assert!(page.starts_with(name), "{page}");
        for part in ["Arguments", "Formula", "Units", "NULL", "Edges", "Source", "Example"] {
            assert!(page.lines().any(|line| line.starts_with(part)), "{name} has no {part}:\n{page}");
        }
    }
    assert_eq!(folder.cxql(&["functions", "NPS"]).out(), folder.cxql(&["functions", "nps"]).out());
    folder.cxql(&["functions", "npss"]).fails(2, &["`npss`", "did you mean `nps`?"]);
}
