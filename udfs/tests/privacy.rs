//! `find_pii`, `redact_pii`, masks and pseudonyms: what is found, how much of it, and how long it takes on hostile text.
//!
//! `docs/privacy.md` has the figures of precision and recall that are measured here. `UPDATE_DOCS=1` writes them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cxql_udfs::privacy::{OrderNumberPattern, PrivacySettings, PseudonymKey};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::error::Result;
use datafusion::prelude::{SessionConfig, SessionContext};

/// A finding or what should be found: kind, and characters counted from 0.
type Span = (String, usize, usize);

const SECRET: &str = "a secret that nobody may see";

fn session() -> Result<SessionContext> {
    // one partition keeps the order of the rows
    let ctx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    cxql_udfs::register_all(&mut *ctx.state_ref().write())?;
    let settings = PrivacySettings {
        pseudonym_key: PseudonymKey::derive(SECRET).ok(),
        order_number: OrderNumberPattern::new("DD[0-9]{12}").ok(),
        ..PrivacySettings::default()
    };
    cxql_udfs::privacy::register(&mut *ctx.state_ref().write(), &settings)?;
    Ok(ctx)
}

async fn rows(ctx: &SessionContext, texts: &[String], sql: &str) -> Result<RecordBatch> {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    ctx.deregister_table("texts")?;
    ctx.register_batch("texts", RecordBatch::try_from_iter([("text", column)])?)?;
    let batches = ctx.sql(sql).await?.collect().await?;
    Ok(concat_batches(&batches[0].schema(), &batches)?)
}

/// What is found in each text.
async fn find(texts: &[String]) -> Result<Vec<Vec<Span>>> {
    let batch = rows(&session()?, texts, "select find_pii(text) from texts").await?;
    let lists = batch.column(0).as_list::<i32>();
    let spans = (0..lists.len()).map(|row| {
        let findings = lists.value(row);
        let findings = findings.as_struct();
        let kinds = findings.column(0).as_string::<i32>();
        let starts = findings.column(1).as_primitive::<Int64Type>();
        let ends = findings.column(2).as_primitive::<Int64Type>();
        let confidences = findings.column(3).as_primitive::<Float64Type>();
        assert!(confidences.iter().flatten().all(|confidence| (0.5..1.0).contains(&confidence)));
        let span = |index: usize| {
            let index_of = |position: i64| usize::try_from(position).unwrap() - 1;
            (kinds.value(index).to_owned(), index_of(starts.value(index)), index_of(ends.value(index)))
        };
        (0..findings.len()).map(span).collect()
    });
    Ok(spans.collect())
}

/// The text of a line with `{kind|text}`, and what it marks.
fn unmark(line: &str) -> (String, Vec<Span>) {
    let (mut text, mut spans) = (String::new(), vec![]);
    let mut parts = line.split('{');
    text.push_str(parts.next().unwrap());
    for part in parts {
        let (marked, rest) = part.split_once('}').unwrap_or_else(|| panic!("no }} in {line}"));
        let (kind, found) = marked.split_once('|').unwrap_or_else(|| panic!("no | in {line}"));
        let start = text.chars().count();
        text.push_str(found);
        spans.push((kind.to_owned(), start, text.chars().count()));
        text.push_str(rest);
    }
    (text, spans)
}

fn marked(name: &str) -> Vec<(String, Vec<Span>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
    let file = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).map(unmark).collect()
}

/// A text with its findings marked.
fn mark(text: &str, spans: &[Span]) -> String {
    let characters: Vec<char> = text.chars().collect();
    let part = |from: usize, to: usize| characters[from..to].iter().collect::<String>();
    let (mut marked, mut from) = (String::new(), 0);
    for (kind, start, end) in spans {
        write!(marked, "{}{{{kind}|{}}}", part(from, *start), part(*start, *end)).unwrap();
        from = *end;
    }
    marked + &part(from, characters.len())
}

#[tokio::test]
async fn cases_are_found_as_they_are_marked() -> Result<()> {
    let cases = marked("pii_cases.txt");
    assert!(cases.len() > 180, "{} cases", cases.len());
    let texts: Vec<String> = cases.iter().map(|(text, _)| text.clone()).collect();
    let mut wrong = String::new();
    for ((text, expected), found) in cases.iter().zip(find(&texts).await?) {
        if *expected != found {
            writeln!(wrong, "wanted {}\n   got {}", mark(text, expected), mark(text, &found)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    Ok(())
}

/// Counts of one kind.
#[derive(Debug, Default, Clone, Copy)]
struct Score {
    expected: usize,
    found: usize,
    right: usize,
}

/// The table of precision and recall by kind. A finding is right when kind and characters are those expected.
fn table(scores: &BTreeMap<String, Score>) -> String {
    let mut table =
        String::from("| kind | in the texts | found | right | precision | recall |\n|---|---|---|---|---|---|\n");
    let share = |part: usize, whole: usize| match whole {
        0 => "-".to_owned(),
        _ => format!("{:.3}", part as f64 / whole as f64),
    };
    for (kind, Score { expected, found, right }) in scores {
        let (precision, recall) = (share(*right, *found), share(*right, *expected));
        writeln!(table, "| {kind} | {expected} | {found} | {right} | {precision} | {recall} |").unwrap();
    }
    table
}

async fn score(cases: &[(String, Vec<Span>)]) -> Result<BTreeMap<String, Score>> {
    let texts: Vec<String> = cases.iter().map(|(text, _)| text.clone()).collect();
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    for ((text, expected), found) in cases.iter().zip(find(&texts).await?) {
        for (kind, ..) in expected {
            scores.entry(kind.clone()).or_default().expected += 1;
        }
        for span in &found {
            let score = scores.entry(span.0.clone()).or_default();
            score.found += 1;
            score.right += usize::from(expected.contains(span));
        }
        if *expected != found {
            println!("wanted {}\n   got {}", mark(text, expected), mark(text, &found));
        }
    }
    Ok(scores)
}

/// Compares a table with the one in `docs/privacy.md` between `<!-- NAME -->` and `<!-- end -->`.
fn assert_documented(name: &str, table: &str) {
    // two tests write into one file
    static PAGE: Mutex<()> = Mutex::new(());
    let _lock = PAGE.lock().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/privacy.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no {begin} in docs/privacy.md"));
    let (known, after) = rest.split_once("<!-- end -->").unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{table}<!-- end -->{after}")).unwrap();
        return;
    }
    assert_eq!(known, table, "the table {name} of docs/privacy.md; UPDATE_DOCS=1 writes it");
}

#[tokio::test]
async fn precision_and_recall_on_chinese_sentences_are_as_documented() -> Result<()> {
    let sentences = marked("pii_chinese.txt");
    assert!(sentences.len() >= 200, "{} sentences", sentences.len());
    assert_documented("chinese", &table(&score(&sentences).await?));
    Ok(())
}

/// The sentences of presidio-research with the kinds that are searched for; `None` where they are not there.
fn presidio(name: &str) -> Option<Vec<(String, Vec<Span>)>> {
    let beside = || [env!("CARGO_MANIFEST_DIR"), "..", "..", "shared", "data"].iter().collect();
    let data = std::env::var_os("CXQL_TEST_DATA").map_or_else(beside, PathBuf::from);
    let path = data.join("text/pii_english").join(name);
    let Ok(file) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: {} is not there, nothing measured", path.display());
        return None;
    };
    let sentences: serde_json::Value = serde_json::from_str(&file).unwrap();
    let kind = |entity: &str| match entity {
        "PHONE_NUMBER" => Some("phone"),
        "CREDIT_CARD" => Some("card"),
        "US_SSN" => Some("us_ssn"),
        "EMAIL_ADDRESS" => Some("email"),
        "IP_ADDRESS" => Some("ipv4"),
        "IBAN_CODE" => Some("iban"),
        _ => None,
    };
    let sentence = |sentence: &serde_json::Value| {
        let number = |span: &serde_json::Value, field: &str| usize::try_from(span[field].as_u64().unwrap()).unwrap();
        let spans = sentence["spans"].as_array().unwrap().iter();
        let spans = spans.filter_map(|span| {
            let kind = kind(span["entity_type"].as_str().unwrap())?;
            Some((kind.to_owned(), number(span, "start_position"), number(span, "end_position")))
        });
        let mut spans: Vec<Span> = spans.collect();
        spans.sort_by_key(|span| span.1);
        (sentence["full_text"].as_str().unwrap().to_owned(), spans)
    };
    Some(sentences.as_array().unwrap().iter().map(sentence).collect())
}

#[tokio::test]
async fn precision_and_recall_on_presidio_research_are_as_documented() -> Result<()> {
    for (name, file) in [("presidio-small", "generated_small.json"), ("presidio-v2", "synth_dataset_v2_first600.json")]
    {
        if let Some(sentences) = presidio(file) {
            assert_documented(name, &table(&score(&sentences).await?));
        }
    }
    Ok(())
}

#[tokio::test]
async fn redacted_texts_have_nothing_left_to_find() -> Result<()> {
    let cases = [marked("pii_cases.txt"), marked("pii_chinese.txt")].concat();
    let texts: Vec<String> = cases.into_iter().map(|(text, _)| text).collect();
    let ctx = session()?;
    for mode in ["label", "mask", "pseudonym"] {
        let batch = rows(&ctx, &texts, &format!("select redact_pii(text, null, '{mode}') from texts")).await?;
        let redacted: Vec<String> =
            batch.column(0).as_string_view().iter().map(|text| text.unwrap().to_owned()).collect();
        let left = find(&redacted).await?;
        // a masked address is of the form of an address
        let left: Vec<_> =
            redacted.iter().zip(left).filter(|(_, left)| left.iter().any(|span| span.0 != "email")).collect();
        assert!(left.is_empty(), "{mode}: {left:#?}");
    }
    Ok(())
}

/// Texts that make a search with backtracking, or one that reads ahead at every position, quadratic.
#[tokio::test]
async fn hostile_texts_take_linear_time() -> Result<()> {
    const LENGTH: usize = 1 << 16;
    let patterns = [
        "1",
        "1 ",
        "1-",
        "(1) ",
        "+1",
        "+",
        "@",
        "a@",
        "@a",
        "a.",
        "a@a.",
        "1.",
        "1.1.1.",
        "a:",
        ":",
        "1:",
        "-",
        "00000000-",
        "DE89",
        "DE89 3704 ",
        "call ",
        "138",
        "138 1234 5678 ",
        "4012 8888 ",
        "微信",
        "微信号",
        "电话1",
        "订单1 ",
        "(",
        ")",
        "0-",
        "x1",
        "1x1",
        "é1",
        "号1",
        "qq1",
        "w",
        "A1",
        "A1(",
        "00:",
        "a@b.co",
    ];
    let texts: Vec<String> = patterns.iter().map(|pattern| pattern.repeat(LENGTH / pattern.len())).collect();
    for text in texts {
        let found = find(std::slice::from_ref(&text)).await?;
        let length = text.chars().count();
        assert!(
            found[0].windows(2).all(|pair| pair[0].2 <= pair[1].1),
            "overlaps in {}",
            &text[..text.floor_char_boundary(20)]
        );
        assert!(found[0].iter().all(|(_, start, end)| start < end && *end <= length));
    }
    Ok(())
}

#[tokio::test]
async fn any_text_is_read_without_a_panic() -> Result<()> {
    // pieces of numbers and marks in all orders, by a linear congruential generator
    let pieces = [
        "1",
        "138",
        "4012888888881881",
        "0",
        "+",
        "-",
        " ",
        ".",
        "(",
        ")",
        "/",
        "@",
        "a",
        "X",
        "é",
        "中",
        "１",
        "：",
        ":",
        "::",
        "fe80",
        "电话",
        "order",
        "微信号",
        "qq",
        "DE89",
        "\n",
        "\u{0}",
        "😀",
        ",",
        "$",
        "#",
        "_",
        "00",
        "86",
        "转",
        "ext",
        "x",
        "A",
        "11010519491231002",
    ];
    let mut seed = 42_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let texts: Vec<String> = (0..20_000).map(|_| (0..next(14)).map(|_| pieces[next(pieces.len())]).collect()).collect();
    for (text, found) in texts.iter().zip(find(&texts).await?) {
        assert!(found.windows(2).all(|pair| pair[0].2 <= pair[1].1), "{text}: {found:?}");
        assert!(found.iter().all(|(_, start, end)| start < end && *end <= text.chars().count()), "{text}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn pseudonyms_show_nothing_of_the_key() -> Result<()> {
    let ctx = session()?;
    // b3sum and the PyPI package blake3 1.0.11: keyed hash, key derived with the context of the crate
    let batch =
        rows(&ctx, &["C-1001".to_owned()], "select pseudonym(text), pseudonym(42), pseudonym('42') from texts").await?;
    let value = |column: usize| batch.column(column).as_string_view().value(0).to_owned();
    assert_eq!((value(0).len(), value(1)), (32, value(2)));
    let mut shown = format!("{:?}", ctx.state().scalar_functions().get("pseudonym"));
    for sql in [
        "explain verbose select pseudonym(text) from texts",
        "explain analyze select pseudonym(text), redact_pii(text, null, 'pseudonym') from texts",
        "select pseudonym(1.5)",
        "select pseudonym()",
    ] {
        match ctx.sql(sql).await {
            Ok(frame) => {
                shown += &format!("{:?}", frame.logical_plan());
                match frame.collect().await {
                    Ok(batches) => {
                        shown += &datafusion::arrow::util::pretty::pretty_format_batches(&batches)?.to_string()
                    }
                    Err(error) => shown += &format!("{error:?}"),
                }
            }
            Err(error) => shown += &format!("{error:?}"),
        }
    }
    assert!(shown.contains("pseudonym"), "{shown}");
    assert!(!shown.contains("a secret") && !shown.contains("nobody may see"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn without_a_key_the_error_says_how_to_set_one() -> Result<()> {
    let ctx = SessionContext::new();
    cxql_udfs::register_all(&mut *ctx.state_ref().write())?;
    for sql in ["select pseudonym('a')", "select redact_pii('a', null, 'pseudonym')"] {
        let error = match ctx.sql(sql).await {
            Ok(frame) => frame.collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains("pseudonym_key = { env = \"NAME\" } under [privacy]"), "{error}");
    }
    Ok(())
}

#[test]
fn patterns_of_order_numbers_are_checked() {
    assert!(OrderNumberPattern::new("ORD-[0-9]{8}").is_ok());
    assert!(OrderNumberPattern::new("(").is_err());
    assert!(OrderNumberPattern::new("[0-9]*").unwrap_err().contains("matches the empty string"));
}
