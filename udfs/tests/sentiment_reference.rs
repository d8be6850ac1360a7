//! `sentiment` against the reference program, vaderSentiment 3.3.2. The expected scores were written by
//! `expected/sentiment_reference.py`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::Float64Type;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;

/// What the texts scored: (score, label) in their order; `None` for a text in another script.
async fn score(texts: impl IntoIterator<Item = &str>) -> Result<Vec<Option<(f64, String)>>> {
    let ctx = SessionContext::new();
    cxql_udfs::register_all(&mut *ctx.state_ref().write())?;
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    ctx.register_batch("texts", RecordBatch::try_from_iter([("text", texts)])?)?;
    let answers = ctx.sql("select sentiment(text), sentiment_label(text) from texts").await?.collect().await?;
    let answers = concat_batches(&answers[0].schema(), &answers)?;
    let scores = answers.column(0).as_primitive::<Float64Type>();
    let labels = answers.column(1).as_string::<i32>();
    let rows = scores.iter().zip(labels.iter());
    Ok(rows.map(|(score, label)| Some((score?, label?.to_owned()))).collect())
}

fn expected(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The label by its definition, from the reference's score.
fn label(score: f64) -> &'static str {
    match score {
        s if s >= 0.05 => "positive",
        s if s <= -0.05 => "negative",
        _ => "neutral",
    }
}

/// Undoes the `\u{hex}` of the script.
fn unescape(escaped: &str) -> String {
    let mut parts = escaped.split("\\u{");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (hex, rest) = part.split_once('}').unwrap();
        text.push(char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap());
        text.push_str(rest);
    }
    text
}

/// The edge cases of which a fifth or more of the letters are not Latin, once each. The reference scores the words that it
/// knows in them, and 0 without one; here they are NULL.
const OTHER_SCRIPTS: [&str; 10] = [
    "很好",
    "很好 good",
    "服务非常好，谢谢！",
    "좋아요 good",
    "хорошо good",
    "ХОРОШО good",
    "ΣΑΣ good",
    "ＧＯＯＤ",
    "𐐀 good",
    "服务很好 good，",
];

fn is_in_other_script(text: &str) -> bool {
    OTHER_SCRIPTS.iter().any(|other| text.replace(other, "").is_empty())
}

#[tokio::test]
async fn edge_cases_score_as_in_the_reference() -> Result<()> {
    let file = expected("sentiment_edge_cases.tsv");
    let (texts, wanted): (Vec<String>, Vec<f64>) = file
        .lines()
        .map(|line| {
            let [count, score, text] = line.splitn(3, '\t').collect::<Vec<_>>().try_into().unwrap();
            (unescape(text).repeat(count.parse().unwrap()), score.parse::<f64>().unwrap())
        })
        .unzip();
    assert!(texts.len() > 300, "{} edge cases", texts.len());
    let answers = score(texts.iter().map(String::as_str)).await?;
    assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), OTHER_SCRIPTS.len());
    let wrong: Vec<_> = answers
        .into_iter()
        .zip(wanted)
        .zip(&texts)
        .filter(|((answer, wanted), text)| match answer {
            Some((score, got_label)) => score != wanted || got_label != label(*wanted),
            None => !is_in_other_script(text),
        })
        .collect();
    assert!(wrong.is_empty(), "{} differ: {wrong:#?}", wrong.len());
    Ok(())
}

/// Texts with the mean of their human ratings from -4 to 4; `None` where the data is not there.
fn rated_texts(name: &str) -> Option<Vec<(f64, String)>> {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "..", "shared", "data", "sentiment_english"].iter().collect();
    let path = folder.join(format!("{name}_GroundTruth.txt"));
    let Ok(file) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: {} is not there, nothing compared", path.display());
        return None;
    };
    // Not `str::lines` alone: a text may hold other line separators, which stay in it.
    let lines = file.split('\n').map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty());
    let rated = lines.map(|line| {
        let [_, rating, text] = line.splitn(3, '\t').collect::<Vec<_>>().try_into().unwrap();
        (rating.parse().unwrap(), text.to_owned())
    });
    Some(rated.collect())
}

fn pearson(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let mean_x = pairs.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = pairs.iter().map(|(_, y)| y).sum::<f64>() / n;
    let covariance: f64 = pairs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let spread_x: f64 = pairs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let spread_y: f64 = pairs.iter().map(|(_, y)| (y - mean_y).powi(2)).sum();
    covariance / (spread_x * spread_y).sqrt()
}

/// Every score equals the reference's, and so do the figures that it reaches against people: correlation with the mean
/// rating, and the share of texts whose label agrees with the sign of the mean rating.
async fn compare(name: &str, texts: usize, correlation: f64, accuracy: f64) -> Result<()> {
    let Some(rated) = rated_texts(name) else { return Ok(()) };
    let wanted: Vec<f64> =
        expected(&format!("sentiment_{name}.txt")).lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!((rated.len(), wanted.len()), (texts, texts), "{name}");
    let answers = score(rated.iter().map(|(_, text)| text.as_str())).await?;
    // all of them are in Latin script
    let answers: Vec<(f64, String)> = answers.into_iter().flatten().collect();
    assert_eq!(answers.len(), texts, "{name}");

    let wrong: Vec<_> = answers
        .iter()
        .zip(&wanted)
        .zip(&rated)
        .filter(|(((score, got_label), wanted), _)| (score - *wanted).abs() > 1e-9 || got_label != label(**wanted))
        .collect();
    assert!(wrong.is_empty(), "{name}: {} of {texts} differ, first {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);

    let pairs: Vec<_> = answers.iter().zip(&rated).map(|((score, _), (rating, _))| (*score, *rating)).collect();
    let by_people = |rating: f64| match rating {
        r if r > 0.0 => "positive",
        r if r < 0.0 => "negative",
        _ => "neutral",
    };
    let agreeing = answers.iter().zip(&rated).filter(|((_, label), (rating, _))| label == by_people(*rating)).count();
    let (got_correlation, got_accuracy) = (pearson(&pairs), agreeing as f64 / texts as f64);
    println!("{name}: {texts} texts, Pearson {got_correlation:.4}, accuracy {got_accuracy:.4}");
    assert_eq!(format!("{got_correlation:.3} {got_accuracy:.3}"), format!("{correlation:.3} {accuracy:.3}"), "{name}");
    Ok(())
}

// Correlation and accuracy: VADER 3.3.2 as measured by the script.

#[tokio::test]
async fn tweets_score_as_in_the_reference() -> Result<()> {
    compare("tweets", 4200, 0.872, 0.921).await
}

#[tokio::test]
async fn product_reviews_score_as_in_the_reference() -> Result<()> {
    compare("amazonReviewSnippets", 3708, 0.590, 0.565).await
}

#[tokio::test]
async fn film_reviews_score_as_in_the_reference() -> Result<()> {
    compare("movieReviewSnippets", 10605, 0.427, 0.556).await
}

#[tokio::test]
async fn editorials_score_as_in_the_reference() -> Result<()> {
    compare("nytEditorialSnippets", 5190, 0.503, 0.487).await
}
