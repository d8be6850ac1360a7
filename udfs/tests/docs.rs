//! The functions' pages say what is so: examples run, nothing is left out, `docs/functions.md` is up to date.

use std::path::Path;

use cxql_udfs::docs::{self, LABELS, Page};
use cxql_udfs::privacy::{PrivacySettings, PseudonymKey};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;

/// What is not as it should be with the pages, one line each.
fn complaints(check: impl Fn(&Page) -> Vec<String>) -> String {
    docs::pages()
        .iter()
        .flat_map(|page| check(page).into_iter().map(|complaint| format!("{}: {complaint}\n", page.name)))
        .collect()
}

#[test]
fn every_function_has_a_page() {
    let names: Vec<String> = docs::pages().into_iter().map(|page| page.name).collect();
    let functions = cxql_udfs::scalar_functions().len()
        + cxql_udfs::aggregate_functions().len()
        + cxql_udfs::window_functions().len();
    assert_eq!(names.len(), functions);
    assert!(functions > 0);
    for name in ["first_contact_resolved", "is_repeat_contact", "zscore", "modified_zscore"] {
        assert!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
    }
}

#[test]
fn pages_answer_every_question() {
    let complaints = complaints(|page| {
        let mut complaints = vec![];
        let mut expect = |is_met: bool, complaint: String| {
            if !is_met {
                complaints.push(complaint);
            }
        };
        expect(!page.family.is_empty(), "no family".to_string());
        expect(!page.description.is_empty(), "no summary before the labelled lines".to_string());
        let labels: Vec<&str> = page.sections.iter().map(|(label, _)| label.as_str()).collect();
        expect(labels == LABELS, format!("labelled lines are {labels:?}, wanted {LABELS:?}"));
        for (label, text) in &page.sections {
            expect(!text.is_empty(), format!("nothing after {label}:"));
        }
        expect(
            page.syntax.iter().all(|syntax| syntax.starts_with(&format!("{}(", page.name))),
            format!("syntax {:?} does not call it", page.syntax),
        );
        expect(page.example.is_some(), "no example".to_string());
        for name in &page.related {
            expect(docs::page(name).is_some(), format!("related function {name} does not exist"));
        }
        complaints
    });
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn every_argument_is_documented() {
    let complaints = complaints(|page| {
        let documented: Vec<&String> = page.arguments.iter().map(|(name, _)| name).collect();
        let mut complaints = vec![];
        if page.parameters.is_empty() {
            complaints.push("its signature names no parameters, so that arguments cannot be named".to_string());
        }
        if documented != page.parameters.iter().collect::<Vec<_>>() {
            complaints.push(format!("documents {documented:?}, its signature has {:?}", page.parameters));
        }
        let syntax = page.syntax.join("\n");
        for (name, text) in &page.arguments {
            if text.is_empty() {
                complaints.push(format!("says nothing about {name}"));
            }
            if !syntax.contains(name.as_str()) {
                complaints.push(format!("{name} is not in its syntax"));
            }
        }
        complaints
    });
    assert!(complaints.is_empty(), "{complaints}");
}

#[tokio::test]
async fn examples_give_what_they_show() -> Result<()> {
    let mut differences = String::new();
    for page in docs::pages() {
        let Some(example) = page.example else { continue };
        // No example leans on another one's session.
        let ctx = SessionContext::new();
        cxql_udfs::register_all(&mut *ctx.state_ref().write())?;
        // the page of `pseudonym` says this secret
        let settings = PrivacySettings {
            pseudonym_key: PseudonymKey::derive("the key of the examples").ok(),
            ..PrivacySettings::default()
        };
        cxql_udfs::privacy::register(&mut *ctx.state_ref().write(), &settings)?;
        let result = match ctx.sql(&example.sql).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        let got = match result {
            Ok(batches) => pretty_format_batches(&batches)?.to_string(),
            Err(error) => error.to_string(),
        };
        if got != example.result {
            differences.push_str(&format!("{}: shows\n{}\nbut gives\n{got}\n\n", page.name, example.result));
        }
        if !example.sql.contains(&format!("{}(", page.name)) {
            differences.push_str(&format!("{}: its example does not call it\n\n", page.name));
        }
    }
    assert!(differences.is_empty(), "{differences}");
    Ok(())
}

#[test]
fn the_generated_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/functions.md");
    let expected = docs::to_markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "docs/functions.md differs from the functions' documentation; run UPDATE_DOCS=1 cargo test -p cxql-udfs --test docs"
    );
}
